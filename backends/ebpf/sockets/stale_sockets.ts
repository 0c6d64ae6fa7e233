import { describeFrontend, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { losesServingEndpoint } from "../../../core/plan/same_plan.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import type { EndedProtocol } from "./sock_diag.ts";
import { DebouncedScan } from "../../../core/async/debounced_scan.ts";
import type { WayToEnd } from "./terminators.ts";

/** Changes come in bursts, and going through all namespaces takes some milliseconds. */
const UDP_SETTLE_MS = 50;

/**
 * A slice that is rewritten may leave an endpoint out that the next one has, and the slices of a service that is
 * deleted may go before it does. A connection that was ended does not come back, so such moments are waited for.
 */
const TCP_SETTLE_MS = 3000;

/**
 * Ends connected sockets whose endpoint is gone. Which those are is seen from the maps and the sockets, so nothing has
 * to be remembered here.
 */
export class StaleSockets implements Disposable {
  readonly #way: WayToEnd;
  readonly #sweeps: Readonly<Record<EndedProtocol, DebouncedScan>>;
  /** Sockets that were ended, and how often that went wrong: nothing depends on it, so nobody is called. */
  readonly ended: Record<EndedProtocol, number> = { TCP: 0, UDP: 0 };
  failures = 0;

  /** @param way is disposed of with this. */
  constructor(way: WayToEnd) {
    this.#way = way;
    this.#sweeps = {
      TCP: new DebouncedScan((settled) => this.#end("TCP", settled), TCP_SETTLE_MS),
      UDP: new DebouncedScan((settled) => this.#end("UDP", settled), UDP_SETTLE_MS),
    };
  }

  /**
   * Looks at all of them, for changes of endpoints may have gone unseen.
   * @param generation of the last change.
   */
  lookAtAll(generation: number): void {
    this.#sweeps.UDP.request();
    this.#sweeps.TCP.request(generation);
  }

  /** The same, if there are any for these changes to strand. */
  lookAfter(changes: readonly PlanChange[], generation: number): void {
    if (changes.some(strandsDatagrams)) this.#sweeps.UDP.request();
    if (changes.some(strandsConnections)) this.#sweeps.TCP.request(generation);
  }

  async #end(protocol: EndedProtocol, settled: number): Promise<void> {
    try {
      this.ended[protocol] += await this.#way.end(protocol, settled);
    } catch {
      this.failures++;
    }
  }

  [Symbol.dispose](): void {
    for (const sweep of Object.values(this.#sweeps)) sweep[Symbol.dispose]();
    this.#way[Symbol.dispose]();
  }
}

/** Whether a change takes an endpoint from UDP sockets that may be connected to it. */
export function strandsDatagrams({ old, new: next }: PlanChange): boolean {
  if (old?.protocol !== "UDP") return false;
  return next === undefined || losesServingEndpoint(old, next) || losesFrontend(old, next);
}

/** Whether TCP connections may have lost their endpoint. They outlive their service and its frontends. */
export function strandsConnections({ old, new: next }: PlanChange): boolean {
  return old?.protocol === "TCP" && next !== undefined && losesServingEndpoint(old, next);
}

function losesFrontend(old: ServicePortPlan, next: ServicePortPlan): boolean {
  const kept = new Set(next.frontends.map((frontend) => describeFrontend(frontend, next.protocol)));
  return old.frontends.some((frontend) => !kept.has(describeFrontend(frontend, old.protocol)));
}
