import { parseArgs } from "node:util";
import { ApiServer } from "../core/kube/api/api_server.ts";
import type { ClusterSize } from "./cluster.ts";
import { fill, measureChanges, Proxy } from "./process/measure.ts";
import { memory } from "./process/resident_memory.ts";
import { milliseconds, percentile } from "./report.ts";

// Measures what readers of the status cost: changes with and without an open page, `proxy status --watch` and a scraper.
// scripts/bench-observed.sh runs it in a network namespace of its own.
//
// The readers get the processor only when nothing else wants it. On a node, the browser and Prometheus run elsewhere, and
// here they would compete with the proxy for the same few cores, which is not what reading costs the proxy.

const { values } = parseArgs({
  options: {
    services: { type: "string", default: "10000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string", default: "5" },
    changes: { type: "string", default: "500" },
    pause: { type: "string", default: "2" },
    readers: { type: "string", default: "page,watch,scraper" },
    "readers-under": { type: "string", default: "chrt --idle 0" },
    proxy: { type: "string", default: "dist/proxy" },
  },
});
const size: ClusterSize = { services: Number(values.services), endpoints: Number(values.endpoints) };
const address = "http://127.0.0.1:10249";

/** Requests of the page, every 2 s. `--pause 0` repeats them at once. */
const PAGE = ["status", "services?sort=name&limit=50", "service?name=ns-0/svc-0", "events"].map((path) =>
  `${address}/api/v1/${path}`
);
/** Prints a line per pass that was answered. */
const LOOP =
  'pause=$1; shift; while true; do curl --silent --fail --noproxy "*" --output /dev/null "$@" && echo; sleep "$pause"; done';

/** Readers of the status: processes of their own, so that they cost this one nothing. */
class Readers implements AsyncDisposable {
  readonly #processes: readonly Deno.ChildProcess[];
  readonly #lines: Promise<readonly number[]>;

  constructor() {
    const loop = (...urls: readonly string[]) => ["bash", "-c", LOOP, "reader", values.pause, ...urls];
    const commands: Readonly<Record<string, readonly string[]>> = {
      page: loop(...PAGE),
      scraper: loop(`${address}/metrics`),
      watch: [values.proxy, "status", "--watch"],
    };
    this.#processes = values.readers.split(",").map((name) => {
      const [command = "", ...args] = [...values["readers-under"].split(" "), ...commands[name] ?? []];
      return new Deno.Command(command, { args, stdin: "null", stdout: "piped", stderr: "null" }).spawn();
    });
    this.#lines = Promise.all(this.#processes.map(({ stdout }) => countLines(stdout)));
  }

  /** Lines that the readers have printed, once they have ended. */
  get lines(): Promise<readonly number[]> {
    return this.#lines;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const process of this.#processes) process.kill("SIGTERM");
    await Promise.all(this.#processes.map(({ status }) => status));
  }
}

async function countLines(stream: ReadableStream<Uint8Array>): Promise<number> {
  let lines = 0;
  for await (const text of stream.pipeThrough(new TextDecoderStream())) lines += text.split("\n").length - 1;
  return lines;
}

await using server = new ApiServer();
server.behaviour.bookmarkInterval = 60_000;
fill(server, size);
await using proxy = new Proxy({ mode: "nftables", path: values.proxy }, server.url);
await proxy.waitUntilReconciled();
await measureChanges("nftables", server, size, 100);

const alone: number[] = [];
const observed: number[] = [];
const passes: Promise<readonly number[]>[] = [];
for (let round = 0; round < Number(values.rounds); round++) {
  alone.push(...await measureChanges("nftables", server, size, Number(values.changes)));
  await using readers = new Readers();
  passes.push(readers.lines);
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
// Readers that did not get the processor cost nothing.
const answered = (await Promise.all(passes)).map((lines) => lines.join(", ")).join("; ");
console.log(`lines printed by each reader, by round: ${answered}`);
console.log(`ratio of the p99: ${ratio.toFixed(2)}; resident memory ${memory(proxy.pid, "VmRSS")} MB`);
