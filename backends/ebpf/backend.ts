import type { DesiredState } from "../../core/plan/plan.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { namespaceCookie } from "../../ffi/network_namespaces.ts";
import {
  type Backend,
  BackendError,
  type BackendMetric,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
} from "../../core/backend/contract.ts";
import { Pins } from "./programs/pins.ts";
import { dropMetric, endedMetrics, readDrops, readTraffic, trafficMetrics } from "./maps/counters.ts";
import { Filters } from "./programs/tc_filters.ts";
import { Kernel } from "./programs/loader.ts";
import { cgroupRoot, mountOf, readMounts } from "./programs/mounts.ts";
import type { EbpfOptions } from "./options.ts";
import { probe } from "./probe.ts";
import { Services } from "./services/services.ts";
import { writeSettings } from "./maps/node_settings.ts";
import { StaleSockets } from "./sockets/stale_sockets.ts";
import { watchPins } from "./programs/pin_watch.ts";
import { wayToEndSockets } from "./sockets/terminators.ts";

interface InKernel {
  readonly kernel: Kernel;
  readonly services: Services;
  /** Undefined where the kernel has no way to end them. */
  readonly staleSockets: StaleSockets | undefined;
  readonly watch: Disposable;
}

/**
 * Services by BPF programs: sockets of this node are given an endpoint's address when they connect, and packets from
 * outside are translated where they arrive. Both look up the same maps, which this process fills; maps and programs
 * are pinned, and go on without it (see docs/ebpf.md).
 */
export class EbpfBackend implements Backend {
  readonly mode = "ebpf";
  readonly #options: EbpfOptions;
  readonly #pins: Pins;
  #report: ((what: string) => void) | undefined;
  #inKernel: InKernel | undefined;

  constructor(options: EbpfOptions) {
    this.#options = options;
    this.#pins = new Pins(options.bpffs, options.capacity);
  }

  async probe(): Promise<readonly Requirement[]> {
    return await probe(this.#options, readMounts());
  }

  async reconcile(desired: DesiredState): Promise<ReconcileReport> {
    const isFirst = this.#inKernel === undefined;
    const { kernel, services, staleSockets } = this.#open();
    writeSettings(kernel.maps, desired.settings, this.#options.timeouts, namespaceCookie());
    const { differences, wasEmpty } = services.reconcile(desired.plans.values());
    // What they look up is complete before they are in force.
    const unattached = await kernel.attach({
      devices: this.#options.devices,
      localTraffic: desired.settings.map(({ localTraffic }) => localTraffic),
    });
    this.#pins.removeOthers();
    staleSockets?.lookAtAll(services.generation);
    if (isFirst && (wasEmpty || !kernel.tookOver)) {
      return { found: "nothing", differences: [], compared: "all" };
    }
    return { found: "ours", differences: [...unattached, ...differences], compared: "all" };
  }

  apply(changes: readonly PlanChange[]): Promise<void> {
    // Set by the first reconcile, which comes before every apply.
    const { services, staleSockets } = this.#inKernel!;
    services.apply(changes);
    staleSockets?.lookAfter(changes, services.generation);
    return Promise.resolve();
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    this.#report = onForeignChange;
    return { [Symbol.dispose]: () => this.#report = undefined };
  }

  metrics(): Promise<readonly BackendMetric[]> {
    if (this.#inKernel === undefined) return Promise.resolve([]);
    const { kernel, services, staleSockets } = this.#inKernel;
    return Promise.resolve([
      ...trafficMetrics(readTraffic(kernel.maps.counters, new Map(services.ids()))),
      dropMetric(readDrops(kernel.maps.drops)),
      ...(staleSockets === undefined ? [] : endedMetrics(staleSockets)),
    ]);
  }

  async cleanup(): Promise<void> {
    this[Symbol.dispose]();
    // Elsewhere there is nothing of ours, and nothing that we may remove.
    if (mountOf(this.#options.bpffs, readMounts())?.type === "bpf") this.#pins.removeAll();
    using client = NetlinkClient.open(NETLINK_ROUTE);
    await new Filters(client).removeAll();
  }

  [Symbol.dispose](): void {
    this.#inKernel?.watch[Symbol.dispose]();
    this.#inKernel?.staleSockets?.[Symbol.dispose]();
    this.#inKernel?.kernel[Symbol.dispose]();
    this.#inKernel = undefined;
  }

  /** What is in the kernel, opened anew when somebody removed a part of it. */
  #open(): InKernel {
    if (this.#inKernel?.kernel.isWhole === true) return this.#inKernel;
    this[Symbol.dispose]();
    const cgroup = this.#options.cgroup || cgroupRoot(readMounts());
    if (cgroup === undefined) throw new BackendError("ebpf: cgroup v2 is not mounted here");
    const kernel = Kernel.open(this.#options, cgroup, this.#pins, (what) => this.#report?.(what));
    const services = new Services(kernel.maps, this.#options);
    const watch = watchPins(this.#pins, () => kernel.missing(), (what) => this.#report?.(what));
    const wayToEnd = wayToEndSockets(this.#pins, this.#options.capacity);
    const staleSockets = wayToEnd && new StaleSockets(wayToEnd);
    return this.#inKernel = { kernel, services, staleSockets, watch };
  }
}
