import assert from "node:assert/strict";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { planOf } from "../../backends/plans.ts";
import { repetitions } from "../../lab/pace.ts";
import type { TestNode } from "./support/sockets/node.ts";
import { settings, withScene } from "./support/sockets/scene.ts";

/** An unreachable address. */
const UNREACHABLE = "192.0.2.1";
const SECONDS = 3;
/** Number of times that one system call replaces all services. */
const ROUNDS = repetitions(5000);

// libbpf stays open.
Deno.test(
  "while services change, a socket only gets endpoints of the service it connects to",
  { sanitizeResources: false },
  () =>
    withScene(async ({ node, client, backend }) => {
      await client.namespace.run("ip", "route", "add", "unreachable", UNREACHABLE);
      const udp = { protocol: "UDP" } as const;
      await backend.reconcile([
        planOf({
          ...udp,
          name: "connected",
          loadBalancerIPs: ["198.51.100.10:53"],
          sourceRanges: nested(client.ipv4),
          endpoints: ["10.1.0.2:8080"],
        }),
        planOf({
          ...udp,
          name: "other",
          externalIPs: ["198.51.100.11:53"],
          endpoints: [`${UNREACHABLE}:53`],
        }),
      ], settings);

      let isDone = false;
      const connecting = client.sockets.connectFor("198.51.100.10", 53, SECONDS, client.ipv4).finally(() =>
        isDone = true
      );
      const changes = await replaceServices(node, () => isDone);
      const { connections, errors } = await connecting;
      console.log(`  ${connections} connections, ${changes} changes`);
      assert(changes > 0 && connections > 0);
      assert.deepEqual(errors, {});
    }),
);

/**
 * Replaces every entry of map services with itself, one after the other. The kernel writes each into the
 * memory that the previous one occupied less than a microsecond ago.
 */
async function replaceServices(node: TestNode, isDone: () => boolean): Promise<number> {
  const [directory] = [...Deno.readDirSync(node.bpffs)];
  using map = BpfMap.pinned("services", `${node.bpffs}/${directory?.name}/maps/services`);
  assert(map !== undefined);
  const keys = [...map.keys()];
  const values = keys.map((key) => {
    const value = new Uint8Array(map.shape.valueSize);
    assert(map.lookup(key, value));
    return value;
  });
  const [allKeys, allValues] = [repeated(keys), repeated(values)];
  let changes = 0;
  while (!isDone()) {
    map.updateAll(allKeys, allValues, ROUNDS * keys.length);
    changes += ROUNDS * keys.length;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return changes;
}

function repeated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Array.from({ length: ROUNDS }, () => parts).flat().flatMap((part) => [...part]));
}

/** Ranges that contain an address: the lookup takes a program longer than the kernel needs for a change. */
function nested(address: string): readonly string[] {
  return Array.from({ length: 32 }, (_, bits) => `${address}/${bits + 1}`);
}
