import { linesOf } from "../../lab/lines.ts";
import assert from "node:assert/strict";
import type {
  BackendMetric,
  PlanChange,
  ReconcileReport,
  Requirement,
} from "../../../core/backend/contract.ts";
import type { TrafficCounters } from "../../../core/backend/traffic.ts";
import type { ProxyMode } from "../../../backends/registry.ts";
import type { NodeSettings, ServicePortPlan } from "../../../core/plan/plan.ts";
import { settingsOf } from "../../backends/plans.ts";
import { slowness } from "../../lab/pace.ts";
import type { NetworkNamespace } from "./network_namespace.ts";
import type { Answer, Command } from "./backend_driver.ts";

/** Generous, so that a busy machine does not fail a test. */
const PATIENCE_MS = 5000 * slowness;

const bothFamilies = [settingsOf("IPv4"), settingsOf("IPv6")];

/** A backend in another process, in a network namespace. */
export class BackendProcess implements AsyncDisposable {
  /** Reports of `watch` so far. */
  readonly foreignChanges: string[] = [];
  readonly #process: Deno.ChildProcess;
  readonly #input: WritableStreamDefaultWriter<Uint8Array>;
  readonly #answers: AsyncGenerator<Answer>;
  #waiting: PromiseWithResolvers<Answer> | undefined;

  /** @param wrapper command that executes its arguments, for example with fewer privileges */
  constructor(
    mode: ProxyMode,
    namespace: Pick<NetworkNamespace, "name">,
    wrapper: readonly string[] = [],
  ) {
    const driver = new URL("./backend_driver.ts", import.meta.url).pathname;
    const run = [Deno.execPath(), "run", "--quiet", "--no-check", "--allow-all", driver, mode];
    this.#process = new Deno.Command("ip", {
      args: ["netns", "exec", namespace.name, ...wrapper, ...run],
      stdin: "piped",
      stdout: "piped",
    }).spawn();
    this.#input = this.#process.stdin.getWriter();
    this.#answers = answers(this.#process.stdout);
    this.#read();
  }

  get pid(): number {
    return this.#process.pid;
  }

  reconcile(
    plans: readonly ServicePortPlan[],
    settings: readonly NodeSettings[] = bothFamilies,
  ): Promise<ReconcileReport> {
    return this.#perform({ do: "reconcile", settings, plans }) as Promise<ReconcileReport>;
  }

  async apply(changes: readonly PlanChange[]): Promise<void> {
    await this.#perform({ do: "apply", changes });
  }

  async watch(): Promise<void> {
    await this.#perform({ do: "watch" });
  }

  async unwatch(): Promise<void> {
    await this.#perform({ do: "unwatch" });
  }

  /** @returns warnings. */
  async cleanup(): Promise<readonly string[]> {
    return (await this.#perform({ do: "cleanup" }) ?? []) as readonly string[];
  }

  probe(): Promise<readonly Requirement[]> {
    return this.#perform({ do: "probe" }) as Promise<readonly Requirement[]>;
  }

  metrics(): Promise<readonly BackendMetric[]> {
    return this.#perform({ do: "metrics" }) as Promise<readonly BackendMetric[]>;
  }

  traffic(): Promise<TrafficCounters> {
    return this.#perform({ do: "traffic" }) as Promise<TrafficCounters>;
  }

  /** Waits until `watch` has made this number of reports, and fails if there are more. */
  async untilReported(count: number): Promise<void> {
    const deadline = performance.now() + PATIENCE_MS;
    while (this.foreignChanges.length < count && performance.now() < deadline) {
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    assert.equal(this.foreignChanges.length, count, this.foreignChanges.join("; "));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#input.close().catch(() => {});
    await this.#process.status;
  }

  async #perform(command: Command): Promise<unknown> {
    this.#waiting = Promise.withResolvers<Answer>();
    await this.#input.write(new TextEncoder().encode(`${JSON.stringify(command)}\n`));
    const answer = await this.#waiting.promise;
    if ("done" in answer) return answer.done;
    throw new RejectionError(answer);
  }

  async #read(): Promise<void> {
    for await (const answer of this.#answers) {
      if ("foreign" in answer) this.foreignChanges.push(answer.foreign);
      else this.#waiting?.resolve(answer);
    }
    this.#waiting?.reject(new Error("the backend's process ended"));
  }
}

/** BackendError of the other process. */
export class RejectionError extends Error {
  readonly rejectedKeys: readonly string[];

  constructor(answer: Answer) {
    super("refused" in answer ? answer.refused : "no answer");
    this.rejectedKeys = "refused" in answer ? answer.rejectedKeys : [];
  }
}

/** Message of the BackendError of a call. Fails the test when the call succeeds. */
export async function rejectionBy(call: () => Promise<unknown>): Promise<RejectionError> {
  try {
    await call();
  } catch (error) {
    if (error instanceof RejectionError) return error;
    throw error;
  }
  assert.fail("no BackendError");
}

async function* answers(stream: ReadableStream<Uint8Array>): AsyncGenerator<Answer> {
  for await (const line of linesOf(stream)) yield JSON.parse(line);
}
