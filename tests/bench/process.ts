import { NFNLGRP_NFTABLES, NFT_MSG_NEWGEN } from "../../backends/nf_tables/constants.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { ApiServer } from "../core/kube/api_server.ts";
import {
  clusterIP,
  type ClusterSize,
  endpointIP,
  nodeObject,
  serviceObject,
  sliceObject,
} from "./cluster.ts";
import { memory } from "./resident_memory.ts";
import { distribution, type Figure, milliseconds, percentile } from "./report.ts";

export const NODE = "node-0";
/** Time for collections of garbage to have happened, before the resident memory is read. */
const SETTLE_MS = 6000;

/** The compiled program as a process, from its start to changes under way, seen from outside. */
export async function measureProcess(size: ClusterSize, changes: number): Promise<readonly Figure[]> {
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  await using proxy = new Proxy(server.url);
  const inForce = await proxy.programmed();
  const peak = memory(proxy.pid, "VmHWM");
  await pause(SETTLE_MS);
  const resident = memory(proxy.pid, "VmRSS");
  const figures: Figure[] = [
    { what: "process start to services in force", value: milliseconds(inForce) },
    {
      what: "resident after that",
      value: `${resident} MB`,
      bar: size.services === 0 ? "at most 65 MB" : "at most 120 MB",
    },
    { what: "peak", value: `${peak} MB`, bar: "at most 200 MB" },
  ];
  if (changes === 0) return figures;
  figures.push({ what: "the sync in it", value: `${proxy.lastSyncSeconds()} s` });
  const latencies = await measureChanges(server, size, changes);
  figures.push({
    what: "one endpoint change, sent by the API server to committed",
    value: distribution(latencies),
    bar: "p50 2 ms, p99 10 ms",
  }, {
    what: "resident, peak after the changes",
    value: `${memory(proxy.pid, "VmRSS")} MB, ${memory(proxy.pid, "VmHWM")} MB`,
  }, {
    what: "kill -9 and start to a change made meanwhile in force, median of 5",
    value: milliseconds(await measureRestarts(server, proxy, size)),
    bar: "at most 2 s",
  });
  return figures;
}

/** Each time an endpoint goes while no proxy runs, and its slot is seen in the kernel after the next start. */
async function measureRestarts(server: ApiServer, proxy: Proxy, size: ClusterSize): Promise<number> {
  const times: number[] = [];
  for (let service = 0; service < 5; service++) {
    await proxy.kill();
    server.put(JSON.parse(JSON.stringify(sliceObject(service, size, { without: 0 }))));
    proxy.start();
    times.push(await proxy.programmed());
    const slot = `${clusterIP(service)} . tcp . 80 . 0`;
    const { stdout } = await new Deno.Command("nft", {
      args: ["get", "element", "ip", "kube-proxy", "endpoints", `{ ${slot} }`],
    }).output();
    const expected = `${slot} : ${endpointIP(service, 1, size)} . 8080`;
    if (!new TextDecoder().decode(stdout).includes(expected)) throw new Error(`the kernel lacks ${expected}`);
  }
  return percentile(times, 0.5);
}

/** Makes the server hold a cluster. */
export function fill(server: ApiServer, size: ClusterSize): void {
  server.preload("Node", "", NODE, () => JSON.stringify(nodeObject(NODE)));
  for (let i = 0; i < size.services; i++) {
    const namespace = `ns-${i % 50}`;
    server.preload("Service", namespace, `svc-${i}`, (version) => JSON.stringify(serviceObject(i, version)));
    server.preload(
      "EndpointSlice",
      namespace,
      `svc-${i}-abcde`,
      (version) => JSON.stringify(sliceObject(i, size, { resourceVersion: version })),
    );
  }
}

async function measureChanges(
  server: ApiServer,
  size: ClusterSize,
  changes: number,
): Promise<number[]> {
  // Not before: with a listener about, the kernel writes a notification for each element of the first programming.
  using listener = new CommitListener();
  const latencies: number[] = [];
  for (let i = 0; i < changes; i++) {
    const service = (i * 7919) % size.services;
    for (const without of [service % size.endpoints, -1]) {
      const committed = listener.next();
      const sent = performance.now();
      server.put(JSON.parse(JSON.stringify(sliceObject(service, size, { without }))));
      latencies.push(await committed - sent);
      await pause(2);
    }
  }
  return latencies;
}

/** Hears of every nf_tables transaction in this network namespace. */
class CommitListener implements Disposable {
  readonly #socket = NetlinkSocket.open(NETLINK_NETFILTER, { receiveBuffer: 512 * 2 ** 20 });

  constructor() {
    this.#socket.joinGroup(NFNLGRP_NFTABLES);
  }

  /** When the next transaction from now on is committed, in milliseconds of performance.now(). */
  async next(): Promise<number> {
    while (this.#socket.receive() !== undefined);
    for (;;) {
      if (!await this.#socket.readable(10_000)) throw new Error("no change within 10 s");
      for (let datagram = this.#socket.receive(); datagram !== undefined; datagram = this.#socket.receive()) {
        for (const { type } of messages(datagram)) {
          if ((type & 0xff) === NFT_MSG_NEWGEN) return performance.now();
        }
      }
    }
  }

  [Symbol.dispose](): void {
    this.#socket[Symbol.dispose]();
  }
}

/** dist/proxy, one process after the other; ended and its rules removed when disposed. */
class Proxy implements AsyncDisposable {
  readonly #server: string;
  #child: Deno.ChildProcess;
  #log: Promise<void> = Promise.resolve();
  #text = "";
  #startedAt = 0;

  constructor(server: string) {
    this.#server = server;
    this.#child = this.start();
  }

  start(): Deno.ChildProcess {
    this.#text = "";
    this.#startedAt = performance.now();
    this.#child = new Deno.Command("dist/proxy", {
      args: ["--master", this.#server, "--hostname-override", NODE, "-v", "2"],
      stderr: "piped",
      stdout: "null",
    }).spawn();
    this.#log = this.#read(this.#child);
    return this.#child;
  }

  async kill(): Promise<void> {
    this.#child.kill("SIGKILL");
    await this.#child.status;
    await this.#log;
  }

  get pid(): number {
    return this.#child.pid;
  }

  /** Waits for the first programming; milliseconds since the process was started. */
  async programmed(): Promise<number> {
    const deadline = performance.now() + 60_000;
    while (!this.#text.includes("Reconciled the kernel")) {
      if (performance.now() > deadline) throw new Error(`nothing is programmed:\n${this.#text}`);
      await pause(1);
    }
    return performance.now() - this.#startedAt;
  }

  lastSyncSeconds(): string {
    return [...this.#text.matchAll(/"Synced".* seconds=([\d.]+)/g)].at(-1)?.[1] ?? "?";
  }

  async #read(child: Deno.ChildProcess): Promise<void> {
    for await (const text of child.stderr.pipeThrough(new TextDecoderStream())) this.#text += text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.kill();
    await new Deno.Command("dist/proxy", { args: ["--cleanup"], stderr: "null" }).output();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
