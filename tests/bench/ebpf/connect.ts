import { planOf } from "../../backends/ebpf/plans.ts";
import { TestNode } from "../../integration/ebpf/support/sockets/node.ts";
import { settings } from "../../integration/ebpf/support/sockets/scene.ts";
import { atMost, type Figure, rows } from "../report.ts";

/** Program of a server that reads everything and answers nothing, so that the client side is measured. */
const sinkProgram = `
import socket, threading
def drain(connection):
    try:
        while connection.recv(1 << 20): pass
    except OSError: pass
listener = socket.create_server(("10.1.0.2", 8080), backlog=4096)
while True:
    connection, _ = listener.accept()
    threading.Thread(target=drain, args=(connection,), daemon=True).start()
`;

const ROUNDS = Number(Deno.args[0] ?? 20_000);
const client = new URL("./connect.py", import.meta.url).pathname;

await using node = await TestNode.make();
const [server, pod] = [await node.addPod(), await node.addPod()];
const others = Array.from(
  { length: 2000 },
  (_, index) => planOf({ name: `other-${index}`, clusterIP: `10.97.${index >> 8}.${index & 255}:80` }),
);
const listener = new Deno.Command("ip", {
  args: ["netns", "exec", server.namespace.name, "python3", "-c", sinkProgram],
}).spawn();
try {
  await using backend = node.startBackend();
  await backend.reconcile([
    planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:8080"] }),
    ...others.slice(0, 1000),
  ], settings);
  await new Promise((resolve) => setTimeout(resolve, 500));
  const [withoutPrograms, direct, service] = JSON.parse(
    await pod.namespace.run(
      "python3",
      client,
      node.cgroup,
      String(ROUNDS),
      "10.1.0.2",
      "8080",
      "10.96.0.10",
      "80",
    ),
  );
  const times = ({ p50, p99 }: { p50: number; p99: number }) =>
    `p50 ${p50.toFixed(1)} us, p99 ${p99.toFixed(1)} us`;
  const figures: readonly Figure[] = [
    { name: "connect to the endpoint, without programs", value: times(withoutPrograms) },
    { name: "connect to the endpoint", value: times(direct) },
    { name: "connect through the ClusterIP", value: times(service) },
    {
      name: "ratio of the medians, ClusterIP to endpoint",
      value: (service.p50 / direct.p50).toFixed(3),
      target: atMost(service.p50 / direct.p50, 1.05, "1.05"),
    },
    {
      name: "ratio of the medians, ClusterIP to endpoint without programs",
      value: (service.p50 / withoutPrograms.p50).toFixed(3),
    },
    { name: "throughput without programs", value: `${withoutPrograms.rate.toFixed(0)} MiB/s` },
    { name: "throughput through the ClusterIP", value: `${service.rate.toFixed(0)} MiB/s` },
    { name: "ratio", value: (service.rate / withoutPrograms.rate).toFixed(3) },
  ];
  console.log(rows(`TCP between two pods of one node, ${ROUNDS} connections each`, figures));
} finally {
  listener.kill("SIGKILL");
  await listener.status;
}
