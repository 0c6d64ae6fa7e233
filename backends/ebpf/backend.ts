import type { DesiredState, PlanKey } from "../../core/plan/plan.ts";
import { NETLINK_ROUTE } from "../../ffi/netlink/constants.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import { namespaceCookie } from "../../ffi/network_namespace.ts";
import {
  type Backend,
  BackendError,
  type BackendMetric,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  type TrafficCounters,
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
    this.#pins = new Pins(options.bpffs, options.room);
  }

  probe(): Promise<readonly Requirement[]> {
    return this.#say(() => probe(this.#options, readMounts()));
  }

  reconcile(desired: DesiredState): Promise<ReconcileReport> {
    return this.#say(async () => {
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
      if (isFirst) {
        const action = kernel.tookOver && !wasEmpty ? "took over" : "created";
        return { action, differences: action === "created" ? [] : [...unattached, ...differences] };
      }
      const found = [...unattached, ...differences];
      return { action: found.length === 0 ? "compared" : "repaired", differences: found };
    });
  }

  apply(changes: readonly PlanChange[]): Promise<void> {
    return this.#say(() => {
      if (this.#inKernel === undefined) throw new Error("ebpf: apply before the first reconcile");
      const { services, staleSockets } = this.#inKernel;
      services.apply(changes);
      staleSockets?.lookAfter(changes, services.generation);
    });
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    this.#report = onForeignChange;
    return { [Symbol.dispose]: () => this.#report = undefined };
  }

  traffic(): Promise<ReadonlyMap<PlanKey, TrafficCounters>> {
    return this.#say(() => {
      const traffic = new Map<PlanKey, TrafficCounters>();
      for (const [key, counted] of this.#readTraffic()) {
        traffic.set(key, {
          connections: counted.connections,
          packets: counted.packetsOut + counted.packetsIn,
          bytes: counted.bytesOut + counted.bytesIn,
        });
      }
      return traffic;
    });
  }

  metrics(): Promise<readonly BackendMetric[]> {
    return this.#say(() => {
      if (this.#inKernel === undefined) return [];
      const { kernel, staleSockets } = this.#inKernel;
      return [
        ...trafficMetrics(this.#readTraffic()),
        dropMetric(readDrops(kernel.maps.drops)),
        ...(staleSockets === undefined ? [] : endedMetrics(staleSockets)),
      ];
    });
  }

  cleanup(): Promise<void> {
    return this.#say(async () => {
      this[Symbol.dispose]();
      // Elsewhere there is nothing of ours, and nothing that we may remove.
      if (mountOf(this.#options.bpffs, readMounts())?.type === "bpf") this.#pins.removeAll();
      using transport = NetlinkSocket.open(NETLINK_ROUTE);
      await new Filters(transport).removeAll();
    });
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
    const wayToEnd = wayToEndSockets(this.#pins, this.#options.room);
    const staleSockets = wayToEnd && new StaleSockets(wayToEnd);
    return this.#inKernel = { kernel, services, staleSockets, watch };
  }

  #readTraffic() {
    if (this.#inKernel === undefined) return new Map<PlanKey, never>();
    const { kernel, services } = this.#inKernel;
    return readTraffic(kernel.maps.counters, new Map(services.ids()));
  }

  /** Calls are short enough for the main thread; what goes wrong is told in the operator's words. */
  async #say<Result>(call: () => Result | Promise<Result>): Promise<Result> {
    try {
      return await call();
    } catch (error) {
      if (error instanceof BackendError || !(error instanceof Error)) throw error;
      throw new BackendError(`ebpf: ${error.message}`, [], { cause: error });
    }
  }
}
