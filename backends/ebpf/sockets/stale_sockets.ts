import { describeFrontend, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { losesServingEndpoint } from "../../../core/plan/same_plan.ts";
import type { PlanChange } from "../../../core/backend/contract.ts";
import { DebouncedScan } from "../../../core/async/debounced_scan.ts";
import type { TerminableProtocol } from "./sock_diag.ts";
import type { SocketTerminator } from "./terminators.ts";

/** Changes come in bursts, and a sweep of all namespaces takes some milliseconds. */
const UDP_SETTLE_MS = 50;

/**
 * An endpoint may be missing for a moment: while EndpointSlices are rewritten, or if those of a deleted
 * service go before the service. An ended connection does not come back, so the sweep waits until such
 * changes are complete.
 */
const TCP_SETTLE_MS = 3000;

/**
 * Ends connected sockets whose endpoint is gone. Keeps no state, because a sweep finds them by the maps and
 * the sockets in the kernel.
 */
export class StaleSockets implements Disposable {
  readonly #terminator: SocketTerminator;
  readonly #sweeps: Readonly<Record<TerminableProtocol, DebouncedScan>>;
  /** Number of ended sockets. */
  readonly ended: Record<TerminableProtocol, number> = { TCP: 0, UDP: 0 };
  /** Network namespaces that the last sweep could not enter, so that stale sockets stay there. */
  denied = 0;
  /** Number of failed sweeps. They are only counted, because nothing depends on a sweep. */
  failures = 0;

  /** @param terminator is owned by this object. */
  constructor(terminator: SocketTerminator) {
    this.#terminator = terminator;
    this.#sweeps = {
      TCP: new DebouncedScan((settled) => this.#end("TCP", settled), TCP_SETTLE_MS),
      UDP: new DebouncedScan((settled) => this.#end("UDP", settled), UDP_SETTLE_MS),
    };
  }

  /**
   * Schedules sweeps of all sockets, because changes of endpoints may have been missed.
   * @param generation of the last change.
   */
  sweepAll(generation: number): void {
    this.#sweeps.UDP.request();
    this.#sweeps.TCP.request(generation);
  }

  /** Schedules the sweeps that these changes make necessary. */
  sweepAfter(changes: readonly PlanChange[], generation: number): void {
    if (changes.some(strandsUdpSockets)) this.#sweeps.UDP.request();
    if (changes.some(strandsConnections)) this.#sweeps.TCP.request(generation);
  }

  async #end(protocol: TerminableProtocol, settled: number): Promise<void> {
    try {
      const { ended, denied } = await this.#terminator.end(protocol, settled);
      this.ended[protocol] += ended;
      this.denied = denied;
    } catch {
      this.failures++;
    }
  }

  [Symbol.dispose](): void {
    for (const sweep of Object.values(this.#sweeps)) sweep[Symbol.dispose]();
    this.#terminator[Symbol.dispose]();
  }
}

/** Reports whether connected UDP sockets may lose their endpoint by a change. */
export function strandsUdpSockets({ old, new: next }: PlanChange): boolean {
  if (old?.protocol !== "UDP") return false;
  return next === undefined || losesServingEndpoint(old, next) || losesFrontend(old, next);
}

/**
 * Reports whether TCP connections may lose their endpoint by a change. They outlive their service and its
 * frontends.
 */
export function strandsConnections({ old, new: next }: PlanChange): boolean {
  return old?.protocol === "TCP" && next !== undefined && losesServingEndpoint(old, next);
}

function losesFrontend(old: ServicePortPlan, next: ServicePortPlan): boolean {
  const kept = new Set(next.frontends.map((frontend) => describeFrontend(frontend, next.protocol)));
  return old.frontends.some((frontend) => !kept.has(describeFrontend(frontend, old.protocol)));
}
