import { Mutex } from "../../core/async/mutex.ts";
import {
  type Backend,
  BackendError,
  type Comparison,
  type NativeText,
  type OnForeignChange,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
  type TransactionObserver,
} from "../../core/backend/contract.ts";
import { plansOf } from "../../core/backend/plan_changes.ts";
import { type Address, contains } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { TrafficCounters } from "../../core/backend/traffic.ts";
import type { DesiredState, NodeSettings, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import type { SetDifference } from "../difference.ts";
import { NfTables } from "../nf_tables/connection.ts";
import type { Candidates } from "../nf_tables/fixed/rejected_plans.ts";
import { FixedTables } from "../nf_tables/fixed/tables.ts";
import { TableReader } from "../nf_tables/watch.ts";
import { truncateList } from "../truncated_list.ts";
import { compareWithKernel } from "./compare.ts";
import { compileAll } from "./compile_all.ts";
import { DummyDevice, SERVICE_DEVICE } from "./device/dummy_device.ts";
import { diffAddresses, hostAddress, type LinkAddress } from "./device/link_address.ts";
import { kubeProxyIpsets, removeKubeProxyIpsets } from "./kube_proxy_ipsets.ts";
import type { IpvsOptions } from "./options.ts";
import { nativeText } from "./native_text.ts";
import { IpvsConnection } from "./protocol/connection.ts";
import { probeBalancer, probeDevice, probeTables } from "./probe.ts";
import { throwIfAddressesRejected, throwIfCommandsRejected } from "./rejection.ts";
import { Balancer, type Outcome } from "./servers/balancer.ts";
import { describeDifferences } from "./servers/describe.ts";
import { diffServers, type ServerDifference } from "./servers/diff.ts";
import { ServersInForce } from "./servers/in_force.ts";
import type { VirtualServerId } from "./servers/virtual_server.ts";
import { trafficOf } from "./servers/traffic.ts";
import { setSysctls } from "./sysctls.ts";
import { IPVS_TABLE, TABLE } from "./tables/chains.ts";
import {
  changedServers,
  compileChanges,
  type FamilyChange,
  type FamilyState,
  serversOf,
  updatesOf,
} from "./update.ts";

/**
 * IPVS sends no notifications about ended connections and foreign changes, so it is checked at this interval.
 */
const CHECK_INTERVAL_MS = 5_000;
/** Checks use at most this share of the time. */
const MAX_CHECK_SHARE = 0.01;

/** Changes of IPVS and of the device. */
interface Step {
  readonly servers: ServerDifference;
  readonly addresses: SetDifference<Address, LinkAddress>;
}

/**
 * Mode ipvs: a virtual server for each frontend, the frontends' addresses on a device of our own, and
 * nf_tables tables for what IPVS does not do (docs/ipvs.md). The tables change in transactions. IPVS and the
 * device have none: if the kernel rejects a part of a change, the next call completes it, because every
 * command can be repeated.
 */
export class IpvsBackend implements Backend {
  readonly mode = "ipvs";
  readonly #options: IpvsOptions;
  readonly #open: OpenNetlink;
  readonly #kernel: NfTables;
  readonly #tables: FixedTables<NodeSettings>;
  readonly #mutex = new Mutex();
  #openedBalancer: Balancer | undefined;
  #openedDevice: DummyDevice | undefined;
  #deviceIndex = 0;
  /** Empty before the first reconcile. */
  #families: readonly FamilyState[] = [];
  #servers = new ServersInForce();
  #nextCheck: number | undefined;

  /** @param open the seam for benchmarks. */
  constructor(options: IpvsOptions, open: OpenNetlink = NetlinkSocket.open) {
    this.#options = options;
    this.#open = open;
    this.#kernel = new NfTables(open);
    this.#tables = new FixedTables(IPVS_TABLE, this.#kernel);
  }

  /** Reports those of the tables. The commands to IPVS are independent requests. */
  observeTransactions(observer: TransactionObserver): void {
    this.#kernel.observeTransactions(observer);
  }

  async probe(): Promise<readonly Requirement[]> {
    return [
      ...await this.#kernel.probe(probeTables),
      await probeBalancer(this.#options),
      await probeDevice(),
    ];
  }

  prepareNode(): Promise<readonly string[]> {
    return this.#mutex.run(async () => {
      // The sysctls exist once IPVS is loaded.
      await this.#balancer([]);
      return setSysctls(this.#options);
    });
  }

  reconcile(desired: DesiredState): Promise<ReconcileReport> {
    return this.#mutex.run(async () => {
      const { families, changes, servers } = compileAll(desired, this.#options);
      const balancer = await this.#balancer(desired.settings.map(({ family }) => family));
      const warnings = setSysctls(this.#options);
      await balancer.setTimeouts(this.#options);
      this.#deviceIndex = await this.#device.ensure();
      const bound = await this.#device.addresses(this.#deviceIndex);
      const actual = (await balancer.read()).filter((server) => !this.#isForeign(server, servers));

      const existing = await this.#tables.schemas();
      const updates = updatesOf(families, changes);
      const contents = updates.map(({ family, settings, elements }) => ({
        family,
        settings,
        elements: elements.added,
      }));
      await this.#tables.replace(contents, existing, this.#candidates(families, desired.plans.values()));
      this.#kernel.listen();
      this.#families = families;
      this.#servers = servers;
      for (const update of updates) update.accept();

      const addresses = updates.flatMap(({ addresses }) => addresses.added);
      const step = {
        servers: balancer.deferRemovalsFromKernel(diffServers(serversOf(changes), actual)),
        // An address that an interface has received since it was planned stays there.
        addresses: diffAddresses(addresses.filter((address) => !bound.others.has(address)), bound.device),
      };
      await this.#perform(balancer, step, changes);
      this.#scheduleCheck(CHECK_INTERVAL_MS);

      const foundOurs = existing.size > 0 || actual.length > 0 || bound.device.length > 0;
      const missingTables = families.map(({ family }) => family)
        .filter(({ nfproto }) => !existing.has(nfproto));
      const differences = foundOurs ? describeDifferences({ missingTables, ...step }) : [];
      return {
        found: foundOurs ? "ours" : "nothing",
        differences: truncateList(differences),
        compared: "part",
        warnings,
      };
    });
  }

  async compare(desired: DesiredState): Promise<Comparison> {
    const { servers, changes, families } = compileAll(desired, this.#options);
    const inForce = await (await this.#balancer([])).read();
    using client = this.#kernel.open();
    return await compareWithKernel(client, this.#device, {
      families,
      changes,
      actual: inForce.filter((server) => !this.#isForeign(server, servers)),
    });
  }

  nativeText(desired: DesiredState): readonly NativeText[] {
    return nativeText(compileAll(desired, this.#options));
  }

  async leftovers(): Promise<readonly string[]> {
    const tables = await this.#tables.families();
    const index = await this.#device.find();
    return [
      ...tables.map(({ keyword }) => `table ${keyword} ${TABLE.name}`),
      ...(index === undefined ? [] : [`device ${SERVICE_DEVICE}, with the virtual servers of its addresses`]),
      ...(await kubeProxyIpsets(() => this.#kernel.open())).map((name) => `ipset ${name}`),
    ];
  }

  apply(changes: readonly PlanChange[]): Promise<void> {
    return this.#mutex.run(async () => {
      const balancer = await this.#balancer([]);
      const compiled = compileChanges(changes, this.#families, this.#options);
      const updates = updatesOf(this.#families, compiled);
      const candidates = this.#candidates(this.#families, plansOf(changes));
      await this.#tables.add(updates, candidates);
      try {
        const step = {
          servers: balancer.deferRemovals(changedServers(compiled)),
          addresses: {
            added: updates.flatMap(({ addresses }) => addresses.added),
            removed: updates.flatMap(({ addresses }) => addresses.removed)
              .map((address) => hostAddress(this.#deviceIndex, address)),
          },
        };
        await this.#perform(balancer, step, compiled);
        await this.#tables.remove(updates, candidates);
      } catch (error) {
        await this.#tables.rollBack(updates, candidates)
          .catch((failure) =>
            this.#kernel.report(`rollback failed, part of the change remains: ${String(failure)}`)
          );
        throw error;
      }
      this.#servers.record(compiled);
      for (const update of updates) update.accept();
    });
  }

  watch(onForeignChange: OnForeignChange): Disposable {
    const tables = this.#kernel.watch(new TableReader(TABLE.name), onForeignChange);
    const device = this.#device.watch(onForeignChange);
    return {
      [Symbol.dispose]: () => {
        tables[Symbol.dispose]();
        device[Symbol.dispose]();
      },
    };
  }

  async traffic(plans: ReadonlyMap<PlanKey, ServicePortPlan>): Promise<TrafficCounters> {
    const counted = this.#families.filter(({ settings }) => settings.trafficMetrics !== "off");
    if (counted.length === 0) return { services: [], unallocated: {} };
    // On another socket than the changes, because one of them may be in progress.
    using connection = await IpvsConnection.open(this.#open);
    const services = await trafficOf(await connection.statistics(), counted, plans);
    return { services, unallocated: {} };
  }

  async cleanup(): Promise<void> {
    await this.#mutex.run(async () => {
      clearTimeout(this.#nextCheck);
      const existing = await this.#tables.schemas();
      const hasTables = existing.size > 0;
      const hasDevice = await this.#device.find() !== undefined;
      // Without tables or a device of this mode, the virtual servers belong to another program.
      if (hasTables || hasDevice) await this.#removeServers();
      await this.#device.delete();
      if (hasTables) await this.#tables.replace([], existing, this.#candidates([], []));
      this.#families = [];
      this.#servers = new ServersInForce();
    });
    await this.cleanUpLeftovers();
  }

  /** Removes kube-proxy's ipsets. The cleanup of mode iptables removes the rules that use them. */
  async cleanUpLeftovers(): Promise<void> {
    const inUse = await removeKubeProxyIpsets(() => this.#kernel.open());
    if (inUse.length === 0) return;
    throw new BackendError(
      `ipvs: rules still use the ipsets ${
        inUse.join(", ")
      } of kube-proxy, so they remain: find the rules with ` +
        "iptables-legacy-save and iptables-nft-save, remove them, then run proxy --cleanup again",
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#nextCheck);
    this.#families = [];
    this.#openedBalancer?.[Symbol.dispose]();
    this.#openedDevice?.[Symbol.dispose]();
    this.#kernel[Symbol.dispose]();
  }

  /** @param families in which the scheduler is tried when IPVS is opened. */
  async #balancer(families: readonly Family[]): Promise<Balancer> {
    if (this.#openedBalancer !== undefined) return this.#openedBalancer;
    const balancer = await Balancer.open(this.#open);
    try {
      await balancer.tryScheduler(this.#options.scheduler || "rr", families);
    } catch (error) {
      balancer[Symbol.dispose]();
      throw error;
    }
    return this.#openedBalancer = balancer;
  }

  get #device(): DummyDevice {
    return this.#openedDevice ??= new DummyDevice(this.#open);
  }

  #candidates(families: readonly FamilyState[], plans: Iterable<ServicePortPlan>): Candidates {
    return {
      plans,
      elementsOf: (plan) => compileChanges([{ new: plan }], families, this.#options)[0]?.new?.elements ?? [],
    };
  }

  /** An address is added after its virtual servers, and removed before them. */
  async #perform(
    balancer: Balancer,
    { servers, addresses }: Step,
    changes: readonly FamilyChange[],
  ): Promise<void> {
    this.#check(await balancer.add(servers), changes);
    throwIfAddressesRejected(await this.#device.add(this.#deviceIndex, addresses.added), changes);
    throwIfAddressesRejected(await this.#device.remove(addresses.removed), changes);
    this.#check(await balancer.remove(servers), changes);
  }

  /** @throws BackendError when the kernel rejected a command. */
  #check({ rejected, drift }: Outcome, changes: readonly FamilyChange[]): void {
    const [first] = drift;
    if (first !== undefined) this.#kernel.reportDrift(first);
    throwIfCommandsRejected(rejected, changes);
  }

  /** True for virtual servers of other programs: those in `excludeCIDRs` that no service port has. */
  #isForeign(server: VirtualServerId, ours: ServersInForce): boolean {
    return ours.ownerOf(server) === undefined &&
      this.#options.excludeCidrs.some((cidr) => contains(cidr, server.address));
  }

  async #removeServers(): Promise<void> {
    let balancer: Balancer;
    try {
      balancer = await this.#balancer([]);
    } catch (error) {
      // A kernel without IPVS has no virtual servers.
      if (error instanceof KernelError && error.errno === errnoOf("ENOENT")) return;
      throw error;
    }
    const none = new ServersInForce();
    const ours = (await balancer.virtualServers()).filter((server) => !this.#isForeign(server, none));
    this.#check(await balancer.removeAll(ours), []);
  }

  #scheduleCheck(afterMs: number): void {
    clearTimeout(this.#nextCheck);
    this.#nextCheck = setTimeout(() => this.#checkServers(), afterMs);
    Deno.unrefTimer(this.#nextCheck);
  }

  /** Removes drained real servers, and reports foreign changes of virtual servers. */
  async #checkServers(): Promise<void> {
    const started = performance.now();
    await this.#mutex.run(async () => {
      const balancer = await this.#balancer([]);
      await balancer.removeDrained();
      const actual = (await balancer.virtualServers())
        .filter((server) => !this.#isForeign(server, this.#servers));
      const foreignChange = this.#servers.describeAddedOrRemoved(actual) ??
        this.#servers.describeChanged(await balancer.withRealServers(this.#servers.nextWindow(actual)));
      if (foreignChange !== undefined) this.#kernel.report(foreignChange);
    }).catch((error) => this.#kernel.report(String(error)));
    if (this.#families.length === 0) return;
    const tookMs = performance.now() - started;
    this.#scheduleCheck(Math.max(CHECK_INTERVAL_MS, tookMs / MAX_CHECK_SHARE));
  }
}
