import assert from "node:assert/strict";
import { linesOf } from "../lab/lines.ts";
import { Cluster } from "./support/cluster.ts";
import { outside } from "./support/places.ts";
import { nodePorts, Workload } from "./support/workload.ts";

/**
 * A client outside that holds connections to a node port. After a line on its standard input, it connects from their
 * source ports to the node port of another Service with the same endpoint, and uses both. Prints what was lost.
 */
const CLIENT = `
import socket, sys
host, first, second = sys.argv[1], int(sys.argv[2]), int(sys.argv[3])
def connect(source, to):
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    client = socket.socket(family)
    client.settimeout(5)
    client.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
    client.bind(("", source))
    client.connect((host, to))
    return client
def answers(client):
    try:
        client.sendall(b"GET /hostname HTTP/1.1\\r\\nHost: web\\r\\n\\r\\n")
        return b"200 OK" in client.recv(4096)
    except OSError:
        return False
held = {source: connect(source, first) for source in range(41000, 41008)}
assert all(answers(client) for client in held.values())
print("held", flush=True)
sys.stdin.readline()
others = {source: connect(source, second) for source in held}
lost = [source for source in held if not (answers(others[source]) and answers(held[source]))]
print("lost:", lost, flush=True)
`;

Deno.test("after a change to mode ebpf, a client may use the port of an older connection for another Service", async () => {
  await using cluster = await Cluster.start({ nodes: 1, subject: "iptables" });
  await Workload.create(cluster);
  const addresses = await cluster.addressesOf(cluster.nodes[0] ?? "");
  const ports = [nodePorts.cluster, nodePorts.local].map(String);
  const clients = await Promise.all(addresses.map(async (address) => {
    const process = await cluster.spawn(outside, "python3", "-c", CLIENT, address, ...ports);
    const lines = linesOf(process.stdout)[Symbol.asyncIterator]();
    return { process, next: async () => (await lines.next()).value };
  }));
  for (const { next } of clients) assert.equal(await next(), "held");
  await cluster.deploy("ebpf");
  for (const { process, next } of clients) {
    await process.stdin.close();
    assert.equal(await next(), "lost: []");
    await process.stderr.cancel();
    await process.status;
  }
});
