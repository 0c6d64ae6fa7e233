import { NFNLGRP_NFTABLES, NFT_MSG_NEWGEN } from "../../backends/nftables/nf_tables.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { messages } from "../../ffi/netlink/reader.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { ApiServer } from "../core/kube/api_server.ts";
import { type ClusterSize, nodeObject, serviceObject, sliceObject } from "./cluster.ts";
import { memory } from "./resident_memory.ts";
import { distribution, type Figure, milliseconds } from "./report.ts";

export const NODE = "node-0";
/** Time for collections of garbage to have happened, before the resident memory is read. */
const SETTLE_MS = 6000;

/** The compiled program as a process, from its start to changes under way, seen from outside. */
export async function measureProcess(size: ClusterSize, changes: number): Promise<readonly Figure[]> {
  await using server = new ApiServer();
  server.behaviour.bookmarkInterval = 60_000;
  fill(server, size);
  using listener = new CommitListener();
  const started = performance.now();
  await using proxy = new Proxy(server.url);
  await proxy.logged("Reconciled the kernel");
  const inForce = performance.now() - started;
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
  const latencies = await measureChanges(server, listener, size, changes);
  figures.push({
    what: "one endpoint change, sent by the API server to committed",
    value: distribution(latencies),
    bar: "p50 2 ms, p99 10 ms",
  }, {
    what: "resident, peak after the changes",
    value: `${memory(proxy.pid, "VmRSS")} MB, ${memory(proxy.pid, "VmHWM")} MB`,
  });
  return figures;
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
  listener: CommitListener,
  size: ClusterSize,
  changes: number,
): Promise<number[]> {
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

/** dist/proxy, ended and its rules removed when disposed. */
class Proxy implements AsyncDisposable {
  readonly #child: Deno.ChildProcess;
  readonly #log: Promise<void>;
  #text = "";

  constructor(server: string) {
    this.#child = new Deno.Command("dist/proxy", {
      args: ["--master", server, "--hostname-override", NODE, "-v", "2"],
      stderr: "piped",
      stdout: "null",
    }).spawn();
    this.#log = this.#read();
  }

  get pid(): number {
    return this.#child.pid;
  }

  async logged(text: string): Promise<void> {
    const deadline = performance.now() + 60_000;
    while (!this.#text.includes(text)) {
      if (performance.now() > deadline) throw new Error(`the log does not say "${text}":\n${this.#text}`);
      await pause(1);
    }
  }

  lastSyncSeconds(): string {
    return [...this.#text.matchAll(/"Synced".* seconds=([\d.]+)/g)].at(-1)?.[1] ?? "?";
  }

  async #read(): Promise<void> {
    for await (const text of this.#child.stderr.pipeThrough(new TextDecoderStream())) this.#text += text;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#child.kill("SIGTERM");
    await this.#child.status;
    await this.#log;
    await new Deno.Command("dist/proxy", { args: ["--cleanup"], stderr: "null" }).output();
  }
}

function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}
