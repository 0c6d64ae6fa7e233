import { Mutex } from "../../core/async/mutex.ts";
import {
  type Backend,
  BackendError,
  type PlanChange,
  type ReconcileReport,
  type Requirement,
} from "../../core/backend/contract.ts";
import { plansOf } from "../../core/backend/plan_changes.ts";
import { type Address, contains } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { DesiredState, ServicePortPlan } from "../../core/plan/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { OpenNetlink } from "../../ffi/netlink/transport.ts";
import { backendError } from "../backend_errors.ts";
import { difference, type SetDifference } from "../difference.ts";
import { NfTables } from "../nf_tables/connection.ts";
import { tableFamilyOf } from "../nf_tables/families.ts";
import { TableReader } from "../nf_tables/watch.ts";
import { truncateList } from "../truncated_list.ts";
import { UseCounts } from "../use_counts.ts";
import { DummyDevice, type RefusedAddress } from "./device/dummy_device.ts";
import { hostAddress, type LinkAddress } from "./device/link_address.ts";
import { removeUpstreamSets } from "./ipset/ipsets.ts";
import type { IpvsOptions } from "./options.ts";
import { probeBalancer, probeDevice, probeTables } from "./probe.ts";
import { Balancer, type Outcome } from "./servers/balancer.ts";
import { differencesInWords } from "./servers/describe.ts";
import { diffServers, type ServerDifference } from "./servers/diff.ts";
import { ServersInForce } from "./servers/in_force.ts";
import { type VirtualServerId, virtualServerKey } from "./servers/virtual_server.ts";
import { setSysctls } from "./sysctls.ts";
import { TABLE } from "./tables/chains.ts";
import type { Candidates } from "./tables/rejection.ts";
import { IpvsTables } from "./tables/tables.ts";
import {
  changedServers,
  compileChanges,
  type FamilyChange,
  type FamilyState,
  serversOf,
  updatesOf,
} from "./update.ts";

/** How often IPVS is looked at: it tells nobody when connections have ended, or when someone changes it. */
const LOOK_EVERY_MS = 5_000;
/** And it takes at most this share of the time. */
const LOOKING_SHARE = 0.01;

/** What IPVS and the device are told. */
interface Step {
  readonly servers: ServerDifference;
  readonly addresses: SetDifference<Address, LinkAddress>;
}

/**
 * Services by IPVS: a virtual server for each frontend, their addresses on a device of our own, and what IPVS does not
 * do in tables of our own (docs/ipvs.md). The tables change in transactions. IPVS and the device do not have any: what
 * is refused half-way is done by the next call, since every command leads to what it says whatever was there.
 */
export class IpvsBackend implements Backend {
  readonly mode = "ipvs";
  readonly #options: IpvsOptions;
  readonly #open: OpenNetlink;
  readonly #kernel: NfTables;
  readonly #tables: IpvsTables;
  readonly #mutex = new Mutex();
  #openedBalancer: Balancer | undefined;
  #openedDevice: DummyDevice | undefined;
  #deviceIndex = 0;
  /** Empty before the first reconcile. */
  #families: readonly FamilyState[] = [];
  #servers = new ServersInForce();
  #nextLook: number | undefined;

  /** @param open the seam for benchmarks. */
  constructor(options: IpvsOptions, open: OpenNetlink = NetlinkSocket.open) {
    this.#options = options;
    this.#open = open;
    this.#kernel = new NfTables(open);
    this.#tables = new IpvsTables(this.#kernel);
  }

  async probe(): Promise<readonly Requirement[]> {
    return [
      ...await this.#kernel.probe(probeTables),
      await probeBalancer(this.#options),
      await probeDevice(),
    ];
  }

  reconcile(desired: DesiredState): Promise<ReconcileReport> {
    return this.#inTurn(async () => {
      const families = desired.settings.map((settings) => ({
        family: tableFamilyOf(settings.family),
        settings,
        uses: new UseCounts(),
      }));
      const balancer = await this.#balancer(desired.settings.map(({ family }) => family));
      const warnings = setSysctls(this.#options);
      await balancer.setTimeouts(this.#options);
      this.#deviceIndex = await this.#device.ensure();
      const bound = await this.#device.addresses(this.#deviceIndex);
      const plans = desired.plans.values();
      const changes = compileChanges(plans.map((plan) => ({ new: plan })), families, this.#options);
      const servers = new ServersInForce();
      servers.note(changes);
      const present = (await balancer.read()).filter((server) => !this.#isForeign(server, servers));

      const foundTables = await this.#tables.found();
      const updates = updatesOf(families, changes);
      await this.#tables.replace(updates, this.#candidates(families, desired.plans.values()));
      this.#kernel.listen();
      this.#families = families;
      this.#servers = servers;
      for (const update of updates) update.accept();

      const wanted = updates.flatMap(({ addresses }) => addresses.added);
      const step = {
        servers: balancer.gracefullyFromFound(diffServers(serversOf(changes), present)),
        // What an interface got a moment ago stays there.
        addresses: diffAddresses(wanted.filter((address) => !bound.others.has(address)), bound.device),
      };
      await this.#make(balancer, step, changes);
      this.#lookAgain(LOOK_EVERY_MS);

      const found = foundTables.length > 0 || present.length > 0 || bound.device.length > 0;
      const tables = families.map(({ family }) => family).filter((family) => !foundTables.includes(family));
      const differences = found ? differencesInWords({ tables, ...step }) : [];
      return {
        found: found ? "ours" : "nothing",
        differences: truncateList(differences),
        compared: "part",
        warnings,
      };
    });
  }

  apply(changes: readonly PlanChange[]): Promise<void> {
    return this.#inTurn(async () => {
      const balancer = await this.#balancer([]);
      const compiled = compileChanges(changes, this.#families, this.#options);
      const updates = updatesOf(this.#families, compiled);
      const candidates = this.#candidates(this.#families, plansOf(changes));
      await this.#tables.add(updates, candidates);
      try {
        const step = {
          servers: balancer.gracefully(changedServers(compiled)),
          addresses: {
            added: updates.flatMap(({ addresses }) => addresses.added),
            removed: updates.flatMap(({ addresses }) => addresses.removed)
              .map((address) => hostAddress(this.#deviceIndex, address)),
          },
        };
        await this.#make(balancer, step, compiled);
        await this.#tables.remove(updates, candidates);
      } catch (error) {
        await this.#tables.takeBack(updates, candidates)
          .catch((alsoFailed) =>
            this.#kernel.report(`rollback failed, part of the change remains: ${String(alsoFailed)}`)
          );
        throw error;
      }
      this.#servers.note(compiled);
      for (const update of updates) update.accept();
    });
  }

  watch(onForeignChange: (what: string) => void): Disposable {
    const ofTables = this.#kernel.watch(new TableReader(TABLE.name), onForeignChange);
    const ofDevice = this.#device.watch(onForeignChange);
    return {
      [Symbol.dispose]: () => {
        ofTables[Symbol.dispose]();
        ofDevice[Symbol.dispose]();
      },
    };
  }

  async cleanup(): Promise<void> {
    await this.#inTurn(async () => {
      clearTimeout(this.#nextLook);
      const hasTables = (await this.#tables.found()).length > 0;
      const hasDevice = await this.#device.find() !== undefined;
      // Without a trace of this mode, virtual servers are somebody else's.
      if (hasTables || hasDevice) await this.#removeServers();
      await this.#device.delete();
      if (hasTables) await this.#tables.replace([], this.#candidates([], []));
      this.#families = [];
      this.#servers = new ServersInForce();
    });
    await this.cleanUpLeftovers();
  }

  /** The sets that upstream's rules look into. Its rules are those of mode iptables, and go with that. */
  async cleanUpLeftovers(): Promise<void> {
    using client = this.#kernel.open();
    const inUse = await removeUpstreamSets(client);
    if (inUse.length === 0) return;
    throw new BackendError(
      `ipvs: the sets ${inUse.join(", ")} of kube-proxy stay, because rules use them: look for them with ` +
        "iptables-legacy-save and iptables-nft-save, remove them, then run proxy --cleanup again",
    );
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#nextLook);
    this.#families = [];
    this.#openedBalancer?.[Symbol.dispose]();
    this.#openedDevice?.[Symbol.dispose]();
    this.#kernel[Symbol.dispose]();
  }

  #inTurn<Result>(work: () => Promise<Result>): Promise<Result> {
    return this.#mutex.run(work);
  }

  /** @param families that the scheduler is tried in when IPVS has not been asked for anything yet. */
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
    return { plans, compile: (plan) => compileChanges([{ new: plan }], families, this.#options)[0]?.new };
  }

  /** Addresses come when there is something behind them, and go before it does. */
  async #make(
    balancer: Balancer,
    { servers, addresses }: Step,
    changes: readonly FamilyChange[],
  ): Promise<void> {
    this.#check(await balancer.add(servers), changes);
    checkAddresses(await this.#device.add(this.#deviceIndex, addresses.added), changes);
    checkAddresses(await this.#device.remove(addresses.removed), changes);
    this.#check(await balancer.remove(servers), changes);
  }

  /** @throws BackendError when something was refused. */
  #check({ refused, astray }: Outcome, changes: readonly FamilyChange[]): void {
    const [firstAstray] = astray;
    if (firstAstray !== undefined) this.#kernel.reportDrift(firstAstray);
    const [first] = refused;
    if (first === undefined) return;
    const servers = new Set(refused.map(({ command }) => virtualServerKey(command.server)));
    const culprits = changes.filter((change) =>
      serversOf([change]).some((server) => servers.has(virtualServerKey(server)))
    );
    throw refusalError(first.error, culprits);
  }

  /** Whether nobody but its owner is to touch it: `excludeCIDRs`. */
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

  #lookAgain(afterMs: number): void {
    clearTimeout(this.#nextLook);
    this.#nextLook = setTimeout(() => this.#look(), afterMs);
    Deno.unrefTimer(this.#nextLook);
  }

  async #look(): Promise<void> {
    const started = performance.now();
    await this.#inTurn(async () => {
      const balancer = await this.#balancer([]);
      await balancer.removeDrained();
      const found = (await balancer.virtualServers()).filter((server) =>
        !this.#isForeign(server, this.#servers)
      );
      const foreign = this.#servers.stray(found) ??
        this.#servers.changed(await balancer.withRealServers(this.#servers.nextToRead(found)));
      if (foreign !== undefined) this.#kernel.report(foreign);
    }).catch((error) => this.#kernel.report(String(error)));
    if (this.#families.length === 0) return;
    const tookMs = performance.now() - started;
    this.#lookAgain(Math.max(LOOK_EVERY_MS, tookMs / LOOKING_SHARE));
  }
}

function refusalError(error: KernelError, culprits: readonly FamilyChange[]): BackendError {
  return backendError("ipvs", error, [...new Set(culprits.map(({ key }) => key))]);
}

/** @throws BackendError when any was refused. */
function checkAddresses(refused: readonly RefusedAddress[], changes: readonly FamilyChange[]): void {
  const [first] = refused;
  if (first === undefined) return;
  const addresses = new Set(refused.map(({ address }) => address));
  // Without the device it is no address's fault.
  const isAstray = first.error.errno === errnoOf("ENODEV");
  const culprits = isAstray
    ? []
    : changes.filter((change) => change.new?.addresses.some((address) => addresses.has(address)));
  throw refusalError(first.error, culprits);
}

function diffAddresses(
  desired: Iterable<Address>,
  actual: Iterable<LinkAddress>,
): SetDifference<Address, LinkAddress> {
  return difference(desired, actual, (one) => typeof one === "string" ? one : one.address);
}
