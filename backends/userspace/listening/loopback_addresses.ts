import type { PlanChange } from "../../../core/backend/contract.ts";
import { type Address, type Cidr, formatAddress } from "../../../core/net/address.ts";
import type { PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { TruncatedList } from "../../truncated_list.ts";

/** A Service whose ClusterIP gives it a loopback address. */
interface Claimant {
  readonly clusterIP: Address;
  readonly loopback: Address;
  /** Its service ports, of which there is at least one. */
  readonly plans: Map<PlanKey, ServicePortPlan>;
}

export interface Claim extends Claimant {
  /** The Service that has the address; undefined if it is this one. */
  readonly owner: Claimant | undefined;
}

/** Warnings of one change of plans. */
const MAX_WARNINGS = 4;

/**
 * The loopback addresses of ClusterIPs. If the range is smaller than that of the ClusterIPs, several have the same
 * address: it is that of the first one, and of the next one when that is gone. Among those that become known together,
 * the lowest ClusterIP is the first, so that a restart changes nothing.
 */
export class LoopbackAddresses {
  readonly range: Cidr;
  /** Claims by ClusterIP, by loopback address. The first one has the address. */
  readonly #claims = new Map<Address, Map<Address, Claimant>>();
  readonly #clusterIPs = new Map<PlanKey, Address>();
  /** ClusterIPs without an address that were warned about. */
  readonly #warned = new Set<Address>();

  constructor(range: Cidr) {
    this.range = range;
  }

  /** Makes these plans the only ones. */
  replace(plans: ReadonlyMap<PlanKey, ServicePortPlan>): void {
    const gone = [...this.#clusterIPs.keys()].filter((key) => !plans.has(key));
    this.update([
      ...gone.map((key) => ({ key, old: undefined, new: undefined })),
      ...[...plans.values()].map((plan) => ({ key: plan.key, old: undefined, new: plan })),
    ]);
  }

  /** @returns the other service ports that have an address from now on. */
  update(changes: readonly PlanChange[]): readonly ServicePortPlan[] {
    // Added first, so that a Service whose ports get other names keeps its address.
    const gone: (readonly [PlanKey, Address])[] = [];
    for (const { key, new: plan } of changes.toSorted(byClusterIP)) {
      const before = this.#clusterIPs.get(key);
      const after = plan && this.#add(plan);
      if (after === undefined) this.#clusterIPs.delete(key);
      if (before !== undefined && before !== after) gone.push([key, before]);
    }
    const others = new Map<PlanKey, ServicePortPlan>();
    for (const [key, clusterIP] of gone) {
      for (const plan of this.#remove(key, clusterIP)) others.set(plan.key, plan);
    }
    for (const { key } of changes) others.delete(key);
    return [...others.values()];
  }

  /** Returns the loopback address of a ClusterIP; undefined if another Service has it. */
  addressOf(clusterIP: Address): Address | undefined {
    const loopback = loopbackAddress(clusterIP, this.range);
    const owner = firstOf(this.#claims.get(loopback));
    return owner === undefined || owner.clusterIP === clusterIP ? loopback : undefined;
  }

  *all(): Generator<Claim> {
    for (const claims of this.#claims.values()) {
      const owner = firstOf(claims);
      for (const claim of claims.values()) yield { ...claim, owner: claim === owner ? undefined : owner };
    }
  }

  /** Returns warnings about Services without an address that there were none about yet. */
  newWarnings(): readonly string[] {
    const list = new TruncatedList(MAX_WARNINGS);
    for (const claims of this.#claims.values()) {
      const owner = firstOf(claims);
      for (const claim of claims.values()) {
        if (claim === owner || owner === undefined || this.#warned.has(claim.clusterIP)) continue;
        this.#warned.add(claim.clusterIP);
        list.add(() => `${nameOf(claim)} is not served on a loopback address: ${takenBy(owner)}. ${ADVICE}`);
      }
    }
    return list.texts;
  }

  /** @returns its ClusterIP; undefined if it gets no loopback address. */
  #add(plan: ServicePortPlan): Address | undefined {
    const clusterIP = clusterIPOf(plan);
    if (clusterIP === undefined) return undefined;
    const loopback = loopbackAddress(clusterIP, this.range);
    let claims = this.#claims.get(loopback);
    if (claims === undefined) this.#claims.set(loopback, claims = new Map());
    let claim = claims.get(clusterIP);
    if (claim === undefined) claims.set(clusterIP, claim = { clusterIP, loopback, plans: new Map() });
    claim.plans.set(plan.key, plan);
    this.#clusterIPs.set(plan.key, clusterIP);
    return clusterIP;
  }

  /** @returns the service ports that have the address instead. */
  #remove(key: PlanKey, clusterIP: Address): readonly ServicePortPlan[] {
    const loopback = loopbackAddress(clusterIP, this.range);
    const claims = this.#claims.get(loopback);
    const claim = claims?.get(clusterIP);
    if (claims === undefined || claim === undefined) return [];
    const wasOwner = firstOf(claims) === claim;
    claim.plans.delete(key);
    if (claim.plans.size > 0) return [];
    claims.delete(clusterIP);
    this.#warned.delete(clusterIP);
    const next = firstOf(claims);
    if (next === undefined) this.#claims.delete(loopback);
    return wasOwner ? [...next?.plans.values() ?? []] : [];
  }
}

const ADVICE = "Give --userspace-loopback a range as large as that of the ClusterIPs";

/** Says which Service has a loopback address. */
export function takenBy(owner: Claimant): string {
  return `${formatAddress(owner.loopback)} is the address of ${nameOf(owner)}, which ends in the same bits`;
}

/** Formats `default/web (10.96.0.10)`. */
function nameOf({ clusterIP, plans }: Claimant): string {
  const [plan] = plans.values();
  return `${plan?.namespace}/${plan?.name} (${formatAddress(clusterIP)})`;
}

function byClusterIP({ new: a }: PlanChange, { new: b }: PlanChange): number {
  const [left, right] = [a && clusterIPOf(a) || "", b && clusterIPOf(b) || ""];
  return left < right ? -1 : left > right ? 1 : 0;
}

/** Returns the ClusterIP that has a loopback address, if its Service may have it. */
export function clusterIPOf({ family, protocol, frontends }: ServicePortPlan): Address | undefined {
  if (family !== "IPv4" || protocol === "SCTP") return undefined;
  const frontend = frontends.find(({ kind }) => kind === "ClusterIP");
  return frontend?.kind === "ClusterIP" ? frontend.address : undefined;
}

/** Returns the loopback address of a ClusterIP: the range's prefix, and the last bits of the ClusterIP. */
export function loopbackAddress(clusterIP: Address, { address: range, prefix }: Cidr): Address {
  const bytes = Array.from(range, (byte, index) => {
    const bits = Math.min(Math.max(prefix - index * 8, 0), 8);
    const host = 0xff >> bits;
    return String.fromCharCode((byte.charCodeAt(0) & ~host) | (clusterIP.charCodeAt(index) & host));
  });
  return bytes.join("") as Address;
}

function firstOf<Value>(map: ReadonlyMap<unknown, Value> | undefined): Value | undefined {
  const [first] = map?.values() ?? [];
  return first;
}
