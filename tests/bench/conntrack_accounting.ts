import { linesOf } from "../lab/lines.ts";
import { NetworkNamespace } from "../integration/support/network_namespace.ts";
import { load } from "../integration/nftables/support/listing.ts";
import { type Figure, median, rows } from "./report.ts";

// Measures what it would cost to count packets and bytes by conntrack's accounting and its events, for
// docs/traffic.md: the time of the kernel per connection, and the CPU of a process that receives the event of each.

const ROUNDS = 7;
const CONNECTIONS = 20_000;
const PER_SECOND = 10_000;
const SECONDS = 10;

/** Sends datagrams, each from another source, to a port that nobody serves. Prints the CPU seconds that this took. */
const SENDER = `
import socket, struct, sys, time
count, rate = int(sys.argv[1]), int(sys.argv[2])
s = socket.socket(socket.AF_INET, socket.SOCK_RAW, socket.IPPROTO_RAW)
packets = []
for n in range(count):
    source = bytes([127, 1 + n // 50000, 0, 1])
    udp = struct.pack("!HHHH", 1024 + n % 50000, 9, 9, 0) + b"x"
    packets.append(struct.pack("!BBHHHBBH", 0x45, 0, 28 + 1, 0, 0, 64, 17, 0) + source + bytes([192, 0, 2, 2]) + udp)
start, wall = time.process_time(), time.monotonic()
for n, packet in enumerate(packets):
    s.sendto(packet, ("192.0.2.2", 0))
    if rate and n % 100 == 99:
        time.sleep(max(0, wall + n / rate - time.monotonic()))
print(time.process_time() - start)
`;

/**
 * Deletes all entries, and prints the CPU seconds that this took. With an interval as argument it repeats that, as
 * connections end all the time.
 */
const FLUSHER = `
import socket, struct, sys, time
s = socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, 12)
IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST_ACK = 1 << 8 | 2, 1 | 4
start = time.process_time()
while True:
    s.send(struct.pack("=IHHIIBBH", 20, IPCTNL_MSG_CT_DELETE, NLM_F_REQUEST_ACK, 1, 0, 0, 0, 0))
    s.recv(4096)
    if len(sys.argv) == 1: break
    time.sleep(float(sys.argv[1]))
print(time.process_time() - start)
`;

/** Packets leave through an interface whose other end drops them, and are tracked. */
async function prepare(): Promise<void> {
  await namespace.run("ip", "link", "set", "lo", "up");
  await namespace.run("ip", "link", "add", "out", "type", "veth", "peer", "name", "sink");
  await namespace.run("ip", "link", "set", "sink", "up");
  await namespace.run("ip", "link", "set", "out", "up");
  await namespace.run("ip", "route", "add", "192.0.2.0/24", "dev", "out");
  await namespace.run("ip", "neigh", "add", "192.0.2.2", "lladdr", "02:00:00:00:00:02", "dev", "out");
  await load(
    namespace,
    "table ip bench { chain output { type filter hook output priority 0; ct state new accept; }; }",
  );
}

/** The cost of a connection: the median of the rounds, and their range. */
async function cost(accounting: number, withListener: boolean): Promise<string> {
  await namespace.run("sysctl", "-qw", `net.netfilter.nf_conntrack_acct=${accounting}`);
  await using listener = withListener ? await Listener.start() : undefined;
  const costs: number[] = [];
  for (let round = 0; round < ROUNDS; round++) {
    const made = Number(await namespace.run("python3", "-c", SENDER, String(CONNECTIONS), "0"));
    const ended = Number(await namespace.run("python3", "-c", FLUSHER));
    costs.push((made + ended) / CONNECTIONS * 1e9);
  }
  await listener?.end();
  return `${median(costs).toFixed(0)} ns (${Math.min(...costs).toFixed(0)}-${Math.max(...costs).toFixed(0)})`;
}

async function listenAtRate(): Promise<Report> {
  await using listener = await Listener.start();
  const flusher = new Deno.Command("ip", {
    args: ["netns", "exec", namespace.name, "python3", "-c", FLUSHER, "0.02"],
  }).spawn();
  await namespace.run("python3", "-c", SENDER, String(PER_SECOND * SECONDS), String(PER_SECOND));
  flusher.kill();
  await flusher.status;
  return await listener.end();
}

interface Report {
  readonly events: number;
  readonly lost: number;
  readonly cpuSeconds: number;
}

/** conntrack_listener.ts in the namespace. */
class Listener implements AsyncDisposable {
  readonly #process: Deno.ChildProcess;
  readonly #lines: AsyncGenerator<string>;
  #report: Report | undefined;

  private constructor() {
    const script = new URL("./conntrack_listener.ts", import.meta.url).pathname;
    const run = [Deno.execPath(), "run", "--quiet", "--no-check", "-A", script];
    this.#process = new Deno.Command("ip", {
      args: ["netns", "exec", namespace.name, ...run],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#lines = linesOf(this.#process.stdout);
  }

  static async start(): Promise<Listener> {
    const listener = new Listener();
    await listener.#lines.next();
    return listener;
  }

  async end(): Promise<Report> {
    if (this.#report !== undefined) return this.#report;
    // The last events are on their way.
    await new Promise((resolve) => setTimeout(resolve, 500));
    await this.#process.stdin.close();
    const { value } = await this.#lines.next();
    this.#report = JSON.parse(String(value)) as Report;
    await this.#process.status;
    return this.#report;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.end();
  }
}

await using namespace = await NetworkNamespace.make();
await prepare();
const figures: Figure[] = [
  { name: "nothing", value: await cost(0, false) },
  { name: "accounting", value: await cost(1, false) },
  { name: "accounting and an event at the end", value: await cost(1, true) },
];
console.log(rows("CPU time of the kernel per connection, made and ended", figures));
const { events, lost, cpuSeconds } = await listenAtRate();
console.log(
  `\nProcess that receives the events of ${PER_SECOND} connections per second: ${
    (cpuSeconds / SECONDS * 100).toFixed(0)
  } % of a CPU, ${events} events${lost > 0 ? `, ${lost} times some were lost` : ""}`,
);
