import type {
  Backend,
  BackendMetric,
  Comparison,
  Draining,
  NamedSockets,
  PlanChange,
  ReconcileReport,
  Requirement,
} from "../../../core/backend/contract.ts";
import type { RelayState } from "../../../core/backend/follower.ts";
import type { LoopbackState } from "../../../core/backend/loopback.ts";
import type { UnservedNodePorts } from "../../../core/backend/unserved_node_ports.ts";
import type { Log } from "../../../core/observe/log.ts";
import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { UserspaceOptions } from "../options.ts";
import type { FailedListener, RelayedService } from "../relay/messages.ts";
import { relayedServicesOf } from "../relayed_service.ts";
import { probeIcmp } from "../probe.ts";
import { RelayControl } from "../relay_control.ts";
import type { StartRelay } from "../relay_handle.ts";
import { type ListeningAddresses, listeningService } from "./frontends.ts";
import { FailedListeners } from "./failed_listeners.ts";
import { LoopbackServices } from "./loopback_services.ts";

/** Time until listeners that could not be opened are tried again, because another program may free the port. */
const RETRY_MS = 5000;
/** Service ports that are tried again at a time, so that many without privileges do not occupy the relay. */
const MAX_RETRIED = 200;

/**
 * Mode userspace without rules, and so without CAP_NET_ADMIN: the relay listens for node ports, and on request for
 * ClusterIPs on loopback addresses. Nothing is programmed in the kernel, and nothing outlives the process.
 */
export class ListeningBackend implements Backend {
  readonly mode = "userspace";
  readonly afterEnd = "Services answer only while a proxy runs";
  readonly usesConntrack = false;
  readonly #relay: RelayControl;
  /** Undefined if no ClusterIP is served. */
  readonly #loopback: LoopbackServices | undefined;
  readonly #retryMs: number;
  readonly #failed = new FailedListeners();
  readonly #addresses: ListeningAddresses = {
    nodePorts: (wanted) => this.#settings.find(({ family }) => family === wanted)?.nodePorts ?? [],
    loopbackOf: (clusterIP) => this.#loopback?.addressOf(clusterIP),
  };
  #settings: readonly NodeSettings[] = [];
  #log: Pick<Log, "warn"> | undefined;
  #relayFailed: ((what: string) => void) | undefined;
  #retry: number | undefined;
  /** True while services change, and from when the process ends. */
  #isBusy = false;

  /**
   * @param startRelay the seam for tests.
   * @param retryMs likewise.
   */
  constructor(options: UserspaceOptions, startRelay: StartRelay, retryMs = RETRY_MS) {
    this.#retryMs = retryMs;
    this.#relay = new RelayControl(options, startRelay, (cause) => this.#relayFailed?.(cause));
    this.#loopback = options.loopback &&
      new LoopbackServices(options.loopback, options.hostsFile, (key) => this.#failed.loopbackFailure(key));
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
    this.#log = log;
    this.#relay.logTo(log);
  }

  async reconcile({ plans, settings }: DesiredState): Promise<ReconcileReport> {
    const relay = await this.#relay.ensure(() => Promise.resolve({ sharedListeners: [], mark: 0 }));
    using _busy = this.#busy();
    this.#settings = settings;
    this.#loopback?.replace(plans);
    const failed = await relay.replace(this.#servicesOf(plans.values()));
    const keys = new Set([...this.#failed.keys, ...failed.map(({ key }) => key)]);
    const warnings = this.#tried(keys, plans, failed);
    return { found: "nothing", differences: [], compared: "all", warnings };
  }

  compare(): Promise<Comparison> {
    return Promise.resolve({ found: "nothing", added: [], changed: [], removed: [] });
  }

  async apply(changes: readonly PlanChange[]): Promise<readonly string[]> {
    const relay = this.#relay.running;
    using _busy = this.#busy();
    // Service ports that have a loopback address because another Service has given it up.
    const others = this.#loopback?.update(changes) ?? [];
    const plans = [...changes.flatMap((change) => change.new ?? []), ...others];
    const added = [...this.#servicesOf(plans)];
    const kept = new Set(added.map(({ key }) => key));
    const keys = [...changes, ...others].map(({ key }) => key);
    const failed = await relay.update(added, keys.filter((key) => !kept.has(key)));
    return this.#tried(keys, new Map(plans.map((plan) => [plan.key, plan])), failed);
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    this.#relayFailed = onForeignChange;
    return { [Symbol.dispose]: () => this.#relayFailed = undefined };
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

  unservedNodePorts(limit: number): UnservedNodePorts {
    return this.#failed.nodePorts(limit);
  }

  inheritSockets(sockets: NamedSockets): void {
    this.#relay.inheritSockets(sockets);
  }

  socketsToKeep(): NamedSockets {
    return this.#relay.descriptors;
  }

  drain(isAwaited: boolean): Promise<Draining> {
    this.#stopRetrying();
    return this.#relay.drain(isAwaited);
  }

  cleanup(): Promise<void> {
    return Promise.resolve();
  }

  leftovers(): Promise<readonly string[]> {
    return Promise.resolve([]);
  }

  [Symbol.dispose](): void {
    this.#stopRetrying();
    this.#relay[Symbol.dispose]();
    this.#loopback?.[Symbol.dispose]();
  }

  /**
   * Records which listeners the relay has opened, and writes the hosts file.
   * @returns warnings that there were none of yet.
   */
  #tried(
    keys: Iterable<PlanKey>,
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
    failed: readonly FailedListener[],
  ): readonly string[] {
    const { warnings, isChanged } = this.#failed.record(keys, plans, failed);
    return [...warnings, ...this.#loopback?.served(isChanged) ?? []];
  }

  /** Postpones attempts that would send the relay an older plan than the change that is in progress. */
  #busy(): Disposable {
    clearTimeout(this.#retry);
    this.#isBusy = true;
    return {
      [Symbol.dispose]: () => {
        this.#isBusy = false;
        this.#retryLater();
      },
    };
  }

  #retryLater(): void {
    clearTimeout(this.#retry);
    if (this.#isBusy || this.#failed.keys.length === 0) return;
    this.#retry = setTimeout(() => void this.#tryAgain(), this.#retryMs);
    Deno.unrefTimer(this.#retry);
  }

  async #tryAgain(): Promise<void> {
    const plans = this.#failed.first(MAX_RETRIED);
    let failed: readonly FailedListener[];
    try {
      failed = await this.#relay.running.update([...this.#servicesOf(plans.values())], []);
    } catch {
      // The relay has ended. The next reconcile tries all of them.
      return;
    }
    // A change that has ended meanwhile has tried its service ports itself.
    const keys = [...plans.values()].filter((plan) => this.#failed.has(plan)).map(({ key }) => key);
    for (const warning of this.#tried(keys, plans, failed)) this.#log?.warn(warning);
    this.#retryLater();
  }

  #stopRetrying(): void {
    clearTimeout(this.#retry);
    this.#isBusy = true;
  }

  *#servicesOf(plans: Iterable<ServicePortPlan>): Generator<RelayedService> {
    for (const relayed of relayedServicesOf(plans)) {
      const service = listeningService(relayed, this.#addresses);
      if (service !== undefined) yield service;
    }
  }
}
