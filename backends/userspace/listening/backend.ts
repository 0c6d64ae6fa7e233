import type {
  Backend,
  BackendMetric,
  Comparison,
  Draining,
  PlanChange,
  ReconcileReport,
  Requirement,
} from "../../../core/backend/contract.ts";
import type { RelayState } from "../../../core/backend/follower.ts";
import type { LoopbackState } from "../../../core/backend/loopback.ts";
import type { Log } from "../../../core/observe/log.ts";
import type { DesiredState, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { UserspaceOptions } from "../options.ts";
import type { RelayedService } from "../relay/messages.ts";
import { relayedServicesOf } from "../relayed_service.ts";
import { probeIcmp } from "../probe.ts";
import { RelayControl } from "../relay_control.ts";
import type { StartRelay } from "../relay_handle.ts";
import { listeningService } from "./frontends.ts";
import { LoopbackServices } from "./loopback_services.ts";

/**
 * Mode userspace without rules, and so without CAP_NET_ADMIN: the relay listens for node ports, and on request for
 * ClusterIPs on loopback addresses. Nothing is programmed in the kernel, and nothing outlives the process.
 */
export class ListeningBackend implements Backend {
  readonly mode = "userspace";
  readonly afterEnd = "Services answer only while a proxy runs";
  readonly #relay: RelayControl;
  /** Undefined if no ClusterIP is served. */
  readonly #loopback: LoopbackServices | undefined;
  #failed: ((what: string) => void) | undefined;

  /** @param startRelay the seam for tests. */
  constructor(options: UserspaceOptions, startRelay: StartRelay) {
    this.#relay = new RelayControl(options, startRelay, (cause) => this.#failed?.(cause));
    this.#loopback = options.loopback && new LoopbackServices(options.loopback, options.hostsFile);
  }

  probe(): Promise<readonly Requirement[]> {
    const loopback = this.#loopback === undefined
      ? "no ClusterIP (--userspace-loopback is not set)"
      : "ClusterIPs only on loopback addresses of this node";
    const hostsFile = this.#loopback?.hostsFile;
    return Promise.resolve([
      {
        name: "rules that redirect connections",
        found: false,
        severity: "recommended",
        detail:
          `--userspace-rules=false: serves node ports from 1024 on and ${loopback}; no external IP, no ` +
          "load-balancer IP and no connection of a pod to a ClusterIP",
      },
      probeIcmp("optional"),
      ...hostsFile === undefined ? [] : [hostsFile.requirement()],
    ]);
  }

  logTo(log: Pick<Log, "warn">): void {
    this.#relay.logTo(log);
  }

  async reconcile({ plans }: DesiredState): Promise<ReconcileReport> {
    const relay = await this.#relay.ensure(() => Promise.resolve({ sharedListeners: [], mark: 0 }));
    this.#loopback?.replace(plans);
    const failed = await relay.replace(this.#servicesOf(plans.values()));
    const warnings = this.#loopback?.served(failed) ?? [];
    return { found: "nothing", differences: [], compared: "all", warnings };
  }

  compare(): Promise<Comparison> {
    return Promise.resolve({ found: "nothing", added: [], changed: [], removed: [] });
  }

  async apply(changes: readonly PlanChange[]): Promise<readonly string[]> {
    const relay = this.#relay.running;
    // Service ports that have a loopback address because another Service has given it up.
    const others = this.#loopback?.update(changes) ?? [];
    const plans = [...changes.flatMap((change) => change.new ?? []), ...others];
    const added = [...this.#servicesOf(plans)];
    const kept = new Set(added.map(({ key }) => key));
    const removed = [...changes, ...others].map(({ key }) => key).filter((key) => !kept.has(key));
    const failed = await relay.update(added, removed);
    return this.#loopback?.served(failed) ?? [];
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    this.#failed = onForeignChange;
    return { [Symbol.dispose]: () => this.#failed = undefined };
  }

  metrics(): Promise<readonly BackendMetric[]> {
    return this.#relay.metrics();
  }

  relayState(): Promise<RelayState | undefined> {
    return this.#relay.state();
  }

  loopbackState(limit: number): LoopbackState | undefined {
    return this.#loopback?.state(limit);
  }

  drain(isAwaited: boolean): Promise<Draining> {
    return this.#relay.drain(isAwaited);
  }

  cleanup(): Promise<void> {
    return Promise.resolve();
  }

  leftovers(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  [Symbol.dispose](): void {
    this.#relay[Symbol.dispose]();
    this.#loopback?.[Symbol.dispose]();
  }

  *#servicesOf(plans: Iterable<ServicePortPlan>): Generator<RelayedService> {
    for (const relayed of relayedServicesOf(plans)) {
      const service = listeningService(relayed, (clusterIP) => this.#loopback?.addressOf(clusterIP));
      if (service !== undefined) yield service;
    }
  }
}
