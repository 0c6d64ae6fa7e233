import assert from "node:assert/strict";
import { linesOf } from "../../lab/lines.ts";
import { slowness } from "../../lab/pace.ts";
import type { Cluster } from "./cluster.ts";
import type { Flow, FlowReport } from "./flows.ts";
import { describePlace, type Place } from "./places.ts";

/** One client: flows that start in one place. */
export interface Client {
  readonly place: Place;
  readonly flows: readonly Flow[];
}

/** A failed connection, or the loss of a held one. */
export interface Failure {
  /** Client and flow: "traffic/client-x1: ClusterIP". */
  readonly flow: string;
  readonly reason: string;
  /** Start of the connection or of the request that failed, in ms since the epoch. */
  readonly at: number;
  /** Name of the last `mark` before, with the time since then. */
  readonly during: string;
}

export interface TrafficReport {
  readonly failures: readonly Failure[];
  /** Reports by client and flow, "traffic/client-x1: ClusterIP". */
  readonly flows: ReadonlyMap<string, FlowReport>;
}

/**
 * Longest time that UDP may stay without an answer. A machine whose two processors are shared with other work stalls for
 * up to 2.3 s when programs start. A stale translation would last for the rest of the test.
 */
export const UDP_SILENCE_MS = 3000 * slowness;

/** Program of the clients. */
const program = new URL("./traffic_client.ts", import.meta.url).pathname;

/**
 * Clients that send continuously, until `stop`.
 *
 *   await using traffic = await Traffic.start(cluster, [{ place: outside, flows: [short("node port", "192.168.89.11", 30080)] }]);
 *   traffic.mark("deploy iptables");
 *   …
 *   assertUnharmed(await traffic.stop());
 */
export class Traffic implements AsyncDisposable {
  readonly #clients: RunningClient[] = [];
  readonly #marks: { readonly name: string; readonly at: number }[] = [{ name: "start", at: Date.now() }];

  /** Returns when every flow has been answered. */
  static async start(cluster: Cluster, clients: readonly Client[]): Promise<Traffic> {
    const traffic = new Traffic();
    try {
      for (const { place, flows } of clients) {
        const process = await cluster.spawn(
          place,
          "env",
          "-u",
          "http_proxy",
          "-u",
          "https_proxy",
          Deno.execPath(),
          "run",
          "--quiet",
          "--no-check",
          "--allow-all",
          "--unstable-net",
          program,
          JSON.stringify(flows),
        );
        traffic.#clients.push(new RunningClient(describePlace(place), flows, process));
      }
      await Promise.all(traffic.#clients.map((client) => client.ready()));
      // Failures before every service was known to every node say nothing.
      for (const client of traffic.#clients) client.failures.length = 0;
    } catch (error) {
      await traffic[Symbol.asyncDispose]();
      throw error;
    }
    traffic.mark("start");
    return traffic;
  }

  /** Names what happens from now on, for the report of failures. */
  mark(name: string): void {
    this.#marks.push({ name, at: Date.now() });
  }

  /** Name of the pod that last answered a held or UDP flow. */
  answeredBy(place: Place, flow: string): string | undefined {
    const name = describePlace(place);
    return this.#clients.find((client) => client.name === name)?.answeredBy.get(flow);
  }

  /** Failures until now. */
  get failures(): readonly Failure[] {
    return this.#clients.flatMap(({ name, failures }) =>
      failures.map(({ flow, failure, at }) => ({
        flow: `${name}: ${flow}`,
        reason: failure,
        at,
        during: this.#markBefore(at),
      }))
    ).sort((a, b) => a.at - b.at);
  }

  async stop(): Promise<TrafficReport> {
    const flows = new Map<string, FlowReport>();
    await Promise.all(this.#clients.map(async (client) => {
      for (const report of await client.stop()) flows.set(`${client.name}: ${report.name}`, report);
    }));
    return { failures: this.failures, flows };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await Promise.allSettled(this.#clients.map((client) => client.stop()));
  }

  #markBefore(at: number): string {
    const mark = this.#marks.findLast((one) => one.at <= at) ?? this.#marks[0]!;
    return `${mark.name} + ${((at - mark.at) / 1000).toFixed(1)} s`;
  }
}

/** Fails unless no connection failed, none was lost, and UDP was never silent for longer than the bound. */
export function assertUnharmed(report: TrafficReport, udpSilenceMs: number = UDP_SILENCE_MS): void {
  const failures = report.failures.map(({ flow, reason, during }) => `${during}: ${flow}: ${reason}`);
  const silences = [...report.flows].filter(([, { kind, longestGapMs }]) =>
    kind === "udp" && longestGapMs > udpSilenceMs
  ).map(([flow, { longestGapMs }]) => `${flow}: no answer for ${longestGapMs} ms`);
  assert.deepEqual(
    [...failures.slice(0, 20), ...silences],
    [],
    `${failures.length} failures\n${describeReport(report)}`,
  );
}

/** The whole report in a line. */
export function summarize({ flows, failures }: TrafficReport): string {
  const of = (kind: FlowReport["kind"]) => [...flows.values()].filter((flow) => flow.kind === kind);
  const attempts = of("short").reduce((sum, flow) => sum + flow.attempts, 0);
  const longest = (kind: FlowReport["kind"]) =>
    Math.max(0, ...of(kind).map(({ longestGapMs }) => longestGapMs));
  const slowest = Math.max(0, ...of("short").map(({ slowestMs }) => slowestMs));
  return `${attempts} connections (slowest ${slowest} ms), ${of("held").length} held ones (longest gap ` +
    `${longest("held")} ms), ${of("udp").length} UDP flows (longest silence ${longest("udp")} ms), ` +
    `${failures.length} failures`;
}

/** A line per flow. */
export function describeReport({ flows, failures }: TrafficReport): string {
  return [...flows].map(([name, { kind, attempts, longestGapMs, slowestMs }]) => {
    const failed = failures.filter((failure) => failure.flow === name).length;
    return `${name}: ${kind}: ${attempts} attempts, ${failed} failed, ` +
      `longest gap ${longestGapMs} ms, slowest answer ${slowestMs} ms`;
  }).sort().join("\n");
}

interface Line {
  readonly answered?: true;
  readonly flow?: string;
  readonly failure?: string;
  readonly answeredBy?: string;
  readonly at?: number;
  readonly reports?: readonly FlowReport[];
}

const READY_WITHIN_MS = 60_000;

class RunningClient {
  readonly failures: { readonly flow: string; readonly failure: string; readonly at: number }[] = [];
  readonly answeredBy = new Map<string, string>();
  readonly #unanswered: Set<string>;
  readonly #ready = Promise.withResolvers<void>();
  #reports: readonly FlowReport[] | undefined;
  #stderr = "";
  readonly #ended: Promise<void>;
  #stopping: Promise<readonly FlowReport[]> | undefined;

  constructor(readonly name: string, flows: readonly Flow[], readonly process: Deno.ChildProcess) {
    this.#unanswered = new Set(flows.map(({ name }) => name));
    this.#ready.promise.catch(() => {});
    this.#ended = this.#read();
  }

  async ready(): Promise<void> {
    const limit = setTimeout(() => {
      const unanswered = [...this.#unanswered].join(", ");
      const last = this.failures.at(-1);
      const failure = last === undefined ? "no failure" : `last failure: ${last.flow}: ${last.failure}`;
      this.#ready.reject(
        new Error(`${this.name}: no answer within ${READY_WITHIN_MS} ms: ${unanswered}; ${failure}`),
      );
    }, READY_WITHIN_MS);
    try {
      await this.#ready.promise;
    } finally {
      clearTimeout(limit);
    }
  }

  stop(): Promise<readonly FlowReport[]> {
    return this.#stopping ??= this.#stop();
  }

  async #stop(): Promise<readonly FlowReport[]> {
    await this.process.stdin.close().catch(() => {});
    await this.#ended;
    if (this.#reports === undefined) {
      throw new Error(`the client in ${this.name} ended early: ${this.#stderr}`);
    }
    return this.#reports;
  }

  async #read(): Promise<void> {
    const readErrors = async () => {
      for await (const text of this.process.stderr.pipeThrough(new TextDecoderStream())) this.#stderr += text;
    };
    const errors = readErrors();
    for await (const line of linesOf(this.process.stdout)) this.#take(JSON.parse(line));
    await errors;
    await this.process.status;
    this.#ready.reject(new Error(`the client in ${this.name} ended early: ${this.#stderr}`));
  }

  #take({ answered, flow, failure, answeredBy, at, reports }: Line): void {
    if (answered && flow !== undefined) {
      this.#unanswered.delete(flow);
      if (this.#unanswered.size === 0) this.#ready.resolve();
    }
    if (reports !== undefined) this.#reports = reports;
    if (flow !== undefined && failure !== undefined) this.failures.push({ flow, failure, at: at ?? 0 });
    if (flow !== undefined && answeredBy !== undefined) this.answeredBy.set(flow, answeredBy);
  }
}
