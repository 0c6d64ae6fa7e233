import {
  type Backend,
  BackendError,
  type BackendMetric,
  type Comparison,
  type OnForeignChange,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  StillInUse,
} from "../../core/backend/contract.ts";
import type { TrafficCounters } from "../../core/backend/traffic.ts";
import type { Limitation } from "../../core/plan/limitation.ts";
import type { DesiredState, NodeSettings, PlanKey, TrafficMetrics } from "../../core/plan/plan.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { ProgramBarrier } from "../../ffi/bpf/program_barrier.ts";
import { namespaceCookie } from "../../ffi/system/network_namespaces.ts";
import { comparePinned } from "./compare.ts";
import { MapVerification } from "./map_verification.ts";
import {
  dropMetric,
  endedMetrics,
  flowEventMetric,
  forwardMetric,
  peerMetric,
  readDrops,
  readFlowEvents,
  readTraffic,
} from "./maps/counters.ts";
import { flowMetrics } from "./maps/flow_metrics.ts";
import { ForwardChoice } from "./netfilter/forward_choice.ts";
import { FormerFlows, removeFormerFlowsTable } from "./netfilter/former_flows.ts";
import { HANDED_OVER_MAPS, handOverFlows } from "./netfilter/hand_over.ts";
import { SETTING } from "./maps/layout.ts";
import { changeFlags, flagsOf, hasSettings, writeSettings } from "./maps/node_settings.ts";
import type { EbpfOptions } from "./options.ts";
import { probe, rootOfMount } from "./probe.ts";
import { Datapath } from "./programs/datapath.ts";
import { cgroupRoot, locate, readMounts } from "./programs/mounts.ts";
import { detachUnpinned, unpinnedMaps, unpinnedPrograms } from "./programs/unpinned.ts";
import { watchPins } from "./programs/pin_watch.ts";
import { Pins } from "./programs/pins.ts";
import { TcFilters } from "./programs/tc_filters.ts";
import { warningsOf } from "./services/limitations.ts";
import { ServiceRanges } from "./services/service_ranges.ts";
import { Services } from "./services/services.ts";
import { StaleSockets } from "./sockets/stale_sockets.ts";
import { openSocketTerminator } from "./sockets/terminators.ts";

const LOST_FLOWS = "connections from outside that began in mode ebpf end";

/**
 * Implements services with BPF programs. Sockets of this node get an endpoint's address when they connect;
 * packets from outside are translated at ingress. Both kinds of programs look up the same maps, which this
 * process writes. Maps and programs are pinned, and work without this process (docs/ebpf.md).
 */
export class EbpfBackend implements Backend {
  readonly mode = "ebpf";
  readonly #options: EbpfOptions;
  readonly #pins: Pins;
  #report: OnForeignChange | undefined;
  #opened: Opened | undefined;
  /** Settings of the last reconcile. */
  #settings: readonly NodeSettings[] = [];
  /** Selects what is read of the counters. The programs always keep all of them. */
  #trafficMetrics: TrafficMetrics = "off";

  constructor(options: EbpfOptions) {
    this.#options = options;
    this.#pins = new Pins(options.bpffs, options.capacity);
  }

  async probe(): Promise<readonly Requirement[]> {
    return await probe(this.#options, readMounts());
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    const isFirst = this.#opened === undefined;
    const { datapath, services, ranges, staleSockets, formerFlows, forwardChoice } = this.#open();
    const [settings] = desired.settings;
    this.#settings = desired.settings;
    this.#trafficMetrics = settings?.trafficMetrics ?? "off";
    const { timeouts } = this.#options;
    const namespace = namespaceCookie();
    // A packet and its reply may arrive at different devices, so no flow begins until all of them have the programs.
    const isAttached = datapath.isTakenOver || !isFirst;
    const forwardWarnings = await forwardChoice.update();
    const flags = formerFlows.flag | forwardChoice.flag | flagsOf(this.#options);
    writeSettings(
      datapath.maps,
      desired.settings,
      timeouts,
      namespace,
      isAttached ? flags : flags | SETTING.LEAVE_NEW_FLOWS,
      datapath.sourcePorts,
    );
    ranges.reconcile(desired.settings, desired.plans.values());
    const { differences, wasEmpty } = services.reconcile(desired.plans.values());
    // The maps come before the programs, which must find all services from the start.
    const unattached = await datapath.attach({
      devices: this.#options.devices,
      localTraffic: desired.settings.map(({ localTraffic }) => localTraffic),
    });
    changeFlags(datapath.maps.node_settings, { clear: SETTING.LEAVE_NEW_FLOWS });
    const lost = datapath.replaceOthers();
    const warning = isFirst ? await formerFlows.keep() : "";
    staleSockets?.sweepAll(services.generation);
    const warnings = [
      ...forwardWarnings,
      ...(warning === "" ? [] : [warning]),
      ...lost,
      ...services.warnings("all"),
      ...warningsOf(desired),
    ];
    const report = { compared: "all", ...(warnings.length === 0 ? {} : { warnings }) } as const;
    if (isFirst && (wasEmpty || !datapath.isTakenOver)) {
      return { ...report, found: "nothing", differences: [] };
    }
    return { ...report, found: "ours", differences: [...unattached, ...differences] };
  }

  compare(desired: DesiredState): Promise<Comparison> {
    return Promise.resolve(comparePinned(this.#options, this.#cgroup(), this.#pins, desired));
  }

  leftovers(): Promise<readonly string[]> {
    // On another file system nothing is ours.
    const pinned = this.#isOnBpffs() ? this.#pins.all() : [];
    const unpinned = pinned.length === 0 ? unpinnedPrograms() : 0;
    return Promise.resolve([
      ...pinned.map((directory) => `BPF programs and maps pinned in ${directory}`),
      ...(unpinned === 0 ? [] : [`${unpinned} attached BPF programs without pins in ${this.#options.bpffs}`]),
    ]);
  }

  apply(changes: readonly PlanChange[]): Promise<readonly string[]> {
    // Set by the first reconcile, which comes before every apply.
    const { services, ranges, staleSockets } = this.#opened!;
    const removeStale = ranges.apply(changes);
    services.apply(changes);
    removeStale();
    staleSockets?.sweepAfter(changes, services.generation);
    return Promise.resolve(services.warnings("news"));
  }

  watch(onForeignChange: OnForeignChange): Disposable {
    this.#report = onForeignChange;
    return { [Symbol.dispose]: () => this.#report = undefined };
  }

  traffic(): Promise<TrafficCounters> {
    if (this.#opened === undefined || this.#trafficMetrics === "off") {
      return Promise.resolve({ services: [], unallocated: {} });
    }
    const { datapath, services } = this.#opened;
    const traffic = readTraffic(datapath.maps.counters, services.owners, this.#trafficMetrics === "full");
    return Promise.resolve({ services: traffic, unallocated: {} });
  }

  limitationsOf(key: PlanKey): readonly Limitation[] {
    return this.#opened?.services.limitationsOf(key) ?? [];
  }

  metrics(): Promise<readonly BackendMetric[]> {
    if (this.#opened === undefined) return Promise.resolve([]);
    const { datapath, services, staleSockets, forwardChoice } = this.#opened;
    return Promise.resolve([
      ...services.metrics(),
      dropMetric(readDrops(datapath.maps.drops)),
      forwardMetric(forwardChoice.isThroughStack),
      peerMetric(datapath.peerCount),
      flowEventMetric(readFlowEvents(datapath.maps.flow_events)),
      ...flowMetrics(datapath.maps),
      ...(staleSockets === undefined ? [] : endedMetrics(staleSockets)),
    ]);
  }

  async cleanup(): Promise<readonly string[]> {
    this[Symbol.dispose]();
    // A proxy in another network namespace may have these pins.
    using _lock = this.#isOnBpffs() ? this.#pins.lock() : undefined;
    const hadPins = this.#pins.all().length > 0;
    const warnings = await this.#handOverFlows();
    using client = NetlinkClient.open(NETLINK_ROUTE);
    await new TcFilters(client).removeAll();
    const kept = this.#removePins();
    const advice = await detachUnpinned(client, hadPins);
    // Last, because the table only keeps old connections, and its failure must not keep the programs.
    await removeFormerFlowsTable();
    const remaining = [
      ...(kept.length === 0 ? [] : [
        `${
          kept.join(", ")
        } contains pins of other programs, so it remains: remove them, then run proxy --cleanup again`,
      ]),
      ...(advice === "" ? [] : [advice]),
    ];
    if (remaining.length === 0) return warnings;
    throw new StillInUse(`ebpf: ${remaining.join("; ")}`);
  }

  #isOnBpffs(): boolean {
    return locate(this.#options.bpffs).mount?.type === "bpf";
  }

  /** @returns the directories that contain something else. */
  #removePins(): readonly string[] {
    const { bpffs } = this.#options;
    const { mount, isRoot } = locate(bpffs);
    // On another file system nothing is ours, so nothing may be removed.
    if (mount?.type !== "bpf") return [];
    if (isRoot) throw new BackendError(`ebpf: ${rootOfMount(bpffs)}`);
    return this.#pins.removeAll();
  }

  /** @returns a warning if that failed. The programs are to be removed all the same. */
  async #handOverFlows(): Promise<readonly string[]> {
    try {
      const names = HANDED_OVER_MAPS;
      const maps = this.#pins.all().length > 0 ? this.#pins.openAll(names) : unpinnedMaps(names);
      let isUnderstood = true;
      for (const opened of maps) isUnderstood = await handOverFlows(opened) && isUnderstood;
      return isUnderstood
        ? []
        : [`${LOST_FLOWS}: another version has made its maps, and the kernel has no types of them`];
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
      const advice = error.errnoName === "EPERM"
        ? ". Reading them takes CAP_BPF, and CAP_SYS_ADMIN if another version has made the maps " +
          "(docs/ebpf.md#from-another-mode-and-back)"
        : "";
      return [`${LOST_FLOWS}: ${error.message}${advice}`];
    }
  }

  [Symbol.dispose](): void {
    this.#opened?.owned[Symbol.dispose]();
    this.#opened = undefined;
  }

  /** The cgroup whose sockets are balanced. */
  #cgroup(): string {
    const cgroup = this.#options.cgroup || cgroupRoot(readMounts());
    if (cgroup !== undefined) return cgroup;
    throw new BackendError("ebpf: cgroup v2 is not mounted: mount -t cgroup2 cgroup2 /sys/fs/cgroup");
  }

  /** Opens the data path, again if a part of it was removed. */
  #open(): Opened {
    if (this.#opened?.datapath.isComplete === true) return this.#opened;
    this[Symbol.dispose]();
    const cgroup = this.#cgroup();
    const report = (what: string) => this.#report?.(what);
    using stack = new DisposableStack();
    this.#pins.makeRoot();
    stack.use(this.#pins.lock());
    const barrier = stack.use(new ProgramBarrier());
    const waitForPrograms = () => barrier.wait();
    const datapath = stack.use(Datapath.open(this.#options, cgroup, this.#pins, waitForPrograms, report));
    const services = new Services(datapath.maps, this.#options, waitForPrograms);
    const ranges = new ServiceRanges(datapath.maps.service_cidrs);
    stack.use(watchPins(this.#pins, () => datapath.describeDetached(), report));
    const terminator = openSocketTerminator(this.#pins, this.#options.capacity);
    const staleSockets = terminator && stack.use(new StaleSockets(terminator));
    const formerFlows = stack.use(new FormerFlows(datapath.maps.node_settings));
    const { forwarding } = this.#options;
    const forwardChoice = stack.use(new ForwardChoice(forwarding, datapath.maps.node_settings, report));
    const parts = { datapath, services, ranges, staleSockets, formerFlows, forwardChoice };
    const verification = stack.use(new MapVerification(() => this.#verify(parts), report));
    return this.#opened = { ...parts, verification, owned: stack.move() };
  }

  /** Compares all maps with what is in force, a little per step. */
  *#verify({ datapath, services, ranges }: Pick<Opened, "datapath" | "services" | "ranges">) {
    yield* services.verification();
    // Before the first reconcile nothing is in force.
    if (this.#settings.length === 0) return;
    const { timeouts } = this.#options;
    const flags = flagsOf(this.#options);
    if (
      !hasSettings(datapath.maps, this.#settings, timeouts, namespaceCookie(), flags, datapath.sourcePorts)
    ) {
      yield "settings or addresses of the node were changed";
    }
    if (!ranges.isIntact()) yield "ranges of service addresses were changed";
  }
}

/** Resources that stay open from the first reconcile on. */
interface Opened {
  readonly datapath: Datapath;
  readonly services: Services;
  readonly ranges: ServiceRanges;
  /** Undefined if the kernel cannot end sockets. */
  readonly staleSockets: StaleSockets | undefined;
  readonly formerFlows: FormerFlows;
  readonly forwardChoice: ForwardChoice;
  readonly verification: MapVerification;
  readonly owned: DisposableStack;
}
