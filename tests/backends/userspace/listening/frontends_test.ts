import assert from "node:assert/strict";
import {
  type ListeningAddresses,
  listeningService,
} from "../../../../backends/userspace/listening/frontends.ts";
import { loopbackAddress } from "../../../../backends/userspace/listening/loopback_addresses.ts";
import type { RelayedFrontend } from "../../../../backends/userspace/relay/messages.ts";
import { type Cidr, formatSocketAddress, parseCidr } from "../../../../core/net/address.ts";
import { address, frontend, relayedService } from "../relay/support/services.ts";

function range(text: string): Cidr {
  const cidr = parseCidr(text);
  assert(cidr !== undefined);
  return cidr;
}

/** Every address for node ports, and the loopback addresses of a range; none without a range. */
function addresses(
  loopback: Cidr | undefined,
  nodePorts: ReturnType<ListeningAddresses["nodePorts"]> = "all",
): ListeningAddresses {
  return {
    nodePorts: () => nodePorts,
    loopbackOf: (clusterIP) => loopback && loopbackAddress(clusterIP, loopback),
  };
}

/** Where frontends are listened for. */
function listeners(
  frontends: readonly RelayedFrontend[],
  loopback?: Cidr,
  nodePorts?: ReturnType<ListeningAddresses["nodePorts"]>,
): readonly string[] {
  const service = listeningService(relayedService({ frontends }), addresses(loopback, nodePorts));
  return (service?.frontends ?? []).flatMap(({ listen }) =>
    listen === undefined ? [] : formatSocketAddress(listen.address, listen.port)
  );
}

const nodePort = (port: number) => frontend({ kind: "NodePort", address: undefined, port });
const web = frontend({ address: address("10.96.1.10"), port: 80 });

Deno.test("node ports are listened for on every address, if the port needs no privilege", () => {
  assert.deepEqual(listeners([nodePort(30080), nodePort(1024), nodePort(1023)]), [
    "0.0.0.0:30080",
    "0.0.0.0:1024",
  ]);
});

Deno.test("node ports are listened for on the addresses that are configured, which may be none", () => {
  const two = [address("127.0.0.1"), address("192.0.2.1")];
  assert.deepEqual(listeners([nodePort(30080)], undefined, two), ["127.0.0.1:30080", "192.0.2.1:30080"]);
  assert.deepEqual(listeners([nodePort(30080)], undefined, []), []);
});

Deno.test("a node port without endpoints for clients outside is not listened for, so that they are refused", () => {
  assert.deepEqual(listeners([{ ...nodePort(30080), outside: "none" }, nodePort(30081)]), ["0.0.0.0:30081"]);
});

Deno.test("ClusterIPs have loopback addresses with the same last bits, on request", () => {
  assert.deepEqual(listeners([web]), []);
  assert.deepEqual(listeners([web], range("127.64.0.0/16")), ["127.64.1.10:80"]);
  const clusterIP = address("10.107.1.10");
  for (
    const [loopback, expected] of [
      ["127.64.0.0/12", "127.75.1.10"],
      ["127.0.0.0/8", "127.107.1.10"],
      ["127.64.0.0/24", "127.64.0.10"],
    ] as const
  ) {
    assert.equal(loopbackAddress(clusterIP, range(loopback)), address(expected), loopback);
  }
});

Deno.test("programs of this node use the endpoints for this node, because nobody else reaches a loopback address", () => {
  const frontends = [frontend({ inside: "local", outside: "none" })];
  const service = listeningService(relayedService({ frontends }), addresses(range("127.64.0.0/16")));
  assert.equal(service?.frontends[0]?.outside, "local");
});

Deno.test("other frontends are not served", () => {
  const loopback = range("127.64.0.0/16");
  assert.deepEqual(
    listeners([frontend({ kind: "ExternalIP" }), frontend({ kind: "LoadBalancerIP" })], loopback),
    [],
  );
  const service = relayedService({ family: "IPv6", frontends: [frontend({ address: address("fd00::10") })] });
  assert.equal(listeningService(service, addresses(loopback)), undefined);
});
