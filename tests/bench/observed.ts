import { parseArgs } from "node:util";
import { ApiServer } from "../core/kube/api_server.ts";
import type { ClusterSize } from "./cluster.ts";
import { fill, measureChanges, Proxy } from "./process/measure.ts";
import { memory } from "./process/resident_memory.ts";
import { milliseconds, percentile } from "./report.ts";

// Measures what readers of the status cost: changes with and without an open page, `proxy status --watch` and a scraper.
// scripts/bench-observed.sh runs it in a network namespace of its own.

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    changes: { type: "string", default: "500" },
    pause: { type: "string", default: "2" },
    readers: { type: "string", default: "page,watch,scraper" },
    proxy: { type: "string", default: "dist/proxy" },
  },
});
const size: ClusterSize = { services: Number(values.services), endpoints: Number(values.endpoints) };
const address = "http://127.0.0.1:10249";

/** Requests of the page, every 2 s. `--pause 0` repeats them at once. */
const PAGE = ["status", "services?sort=name&limit=50", "service?name=ns-0/svc-0", "events"].map((path) =>
  `${address}/api/v1/${path}`
);
const LOOP =
  'pause=$1; shift; while true; do curl --silent --noproxy "*" --output /dev/null "$@"; sleep "$pause"; done';

/** Readers of the status: processes of their own, so that they cost this one nothing. */
class Readers implements AsyncDisposable {
  readonly #processes: readonly Deno.ChildProcess[];

  constructor() {
    const loop = (...urls: readonly string[]) => ["bash", "-c", LOOP, "reader", values.pause, ...urls];
    const commands: Readonly<Record<string, readonly string[]>> = {
      page: loop(...PAGE),
      scraper: loop(`${address}/metrics`),
      watch: [values.proxy, "status", "--watch"],
    };
    this.#processes = values.readers.split(",").map((name) => commands[name] ?? []).map((
      [command = "", ...args],
    ) => new Deno.Command(command, { args, stdin: "null", stdout: "null", stderr: "null" }).spawn());
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) process.kill("SIGTERM");
    await Promise.all(this.#processes.map(({ status }) => status));
  }
}

await using server = new ApiServer();
server.behaviour.bookmarkInterval = 60_000;
fill(server, size);
await using proxy = new Proxy({ mode: "nftables", path: values.proxy }, server.url);
await proxy.waitUntilReconciled();
await measureChanges("nftables", server, size, 100);

const alone: number[] = [];
const observed: number[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  alone.push(...await measureChanges("nftables", server, size, Number(values.changes)));
  await using _readers = new Readers();
  // The start of a reader takes CPU time that is not the cost of reading.
  await new Promise((resolve) => setTimeout(resolve, 3000));
  observed.push(...await measureChanges("nftables", server, size, Number(values.changes)));
}
console.log(`${size.services} services x ${size.endpoints} endpoints, ${alone.length} changes each\n`);
for (
  const [name, latencies] of [["nobody reads", alone], [values.readers, observed]] as const
) {
  console.log(
    `${name}: p50 ${milliseconds(percentile(latencies, 0.5))}, p99 ${
      milliseconds(percentile(latencies, 0.99))
    }`,
  );
}
const ratio = percentile(observed, 0.99) / percentile(alone, 0.99);
console.log(`ratio of the p99: ${ratio.toFixed(2)}; resident memory ${memory(proxy.pid, "VmRSS")} MB`);
