import assert from "node:assert/strict";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { planOf } from "../../backends/plans.ts";
import { repetitions } from "../../lab/pace.ts";
import type { TestNode } from "./node.ts";
import { settings, withScene } from "./scene.ts";

/** Nothing can connect to it. */
const nowhere = "192.0.2.1";
const SECONDS = 3;
/** How often all services are replaced by one system call. */
const ROUNDS = repetitions(5000);

// libbpf stays loaded.
Deno.test(
  "while services change, a socket only ever gets an endpoint of the one it asks for",
  { sanitizeResources: false },
  () =>
    withScene(async ({ node, client, backend }) => {
      await client.namespace.run("ip", "route", "add", "unreachable", nowhere);
      const udp = { protocol: "UDP" } as const;
      await backend.reconcile([
        planOf({
          ...udp,
          name: "asked",
          loadBalancerIPs: ["198.51.100.10:53"],
          sourceRanges: nested(client.ipv4),
          endpoints: ["10.1.0.2:8080"],
        }),
        planOf({ ...udp, name: "other", externalIPs: ["198.51.100.11:53"], endpoints: [`${nowhere}:53`] }),
      ], settings);

      let isOver = false;
      const asking = client.sockets.connectFor("198.51.100.10", 53, SECONDS, client.ipv4).finally(() =>
        isOver = true
      );
      const changes = await replaceInTurn(node, () => isOver);
      const { connections, errors } = await asking;
      console.log(`  ${connections} connections, ${changes} changes`);
      assert(changes > 0 && connections > 0);
      assert.deepEqual(errors, {});
    }),
);

/**
 * Replaces every service by one that says the same, one after the other: the kernel writes each into the memory that
 * the one before it has left less than a microsecond ago.
 */
async function replaceInTurn(node: TestNode, isOver: () => boolean): Promise<number> {
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
  while (!isOver()) {
    map.updateAll(allKeys, allValues, ROUNDS * keys.length);
    changes += ROUNDS * keys.length;
    await new Promise((resolve) => setTimeout(resolve, 0));
  }
  return changes;
}

function repeated(parts: readonly Uint8Array[]): Uint8Array<ArrayBuffer> {
  return Uint8Array.from(Array.from({ length: ROUNDS }, () => parts).flat().flatMap((part) => [...part]));
}

/** Ranges that have an address: looking at so many takes a program longer than a change takes. */
function nested(address: string): readonly string[] {
  return Array.from({ length: 32 }, (_, bits) => `${address}/${bits + 1}`);
}
