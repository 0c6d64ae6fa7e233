import { type Address, formatAddress } from "../net/address.ts";
import { PROTOCOLS } from "../net/protocol.ts";
import {
  describeFrontend,
  type Frontend,
  type PlanKey,
  printedName,
  printedNameOf,
  serviceNameOf,
  type ServicePortPlan,
} from "./plan.ts";

/**
 * Records which service port holds which frontend. Two services may claim the same address and port, but the
 * kernel can send it to only one.
 *
 * The more trusted claim wins: a ClusterIP, which the API server allocates, then a load-balancer address, which a
 * controller writes, then an external IP, which anyone writes who may create a Service. It takes the frontend from
 * a less trusted holder at once. Among equals the first one keeps the frontend until it releases it, so that a new
 * service never takes traffic away. Services that are planned together have to claim in the order of
 * `Store.inOrderOfAge`, so that the oldest gets the frontend.
 *
 * A ClusterIP is claimed as a whole: on all ports of the ClusterIP of one service, load-balancer addresses and
 * external IPs of others are refused. Otherwise whoever may create a Service could answer on the ports that the
 * ClusterIP of another namespace does not serve.
 */
export class FrontendClaims {
  readonly #holders = new Map<ClaimKey, PlanKey>();
  /** Everything that each service holds. */
  readonly #held = new Map<string, readonly ClaimKey[]>();
  /** Trust of the holders of load-balancer addresses and external IPs, by address. */
  readonly #lessTrusted = new Map<Address, Map<ClaimKey, number>>();
  /** Services that claim something they do not get. */
  readonly #losers = new Map<string, Loser>();
  /** Services to plan again when a claim becomes free. */
  readonly #waiting = new Map<ClaimKey, Set<string>>();
  #refusals = 0;

  /** Number of frontends that services claim but do not get. */
  get refusals(): number {
    return this.#refusals;
  }

  /** Number of frontends that this service claims but does not get. */
  refusalsOf(service: string): number {
    return this.#losers.get(service)?.refused.size ?? 0;
  }

  /**
   * Releases what the service holds and no longer claims, before it claims the rest.
   * @returns names of services to plan again, because they wait for what is free now.
   */
  release(service: string, desired: readonly ServicePortPlan[]): readonly string[] {
    if (!this.#held.has(service)) return [];
    const claimed = new Set<ClaimKey>();
    for (const plan of desired) {
      for (const frontend of plan.frontends) {
        claimed.add(frontendKey(plan, frontend));
        if (frontend.kind === "ClusterIP") claimed.add(frontend.address);
      }
    }
    return this.#keep(service, claimed);
  }

  /** Claims the frontends of all plans of a service, and releases everything else that it held. */
  claim(service: string, desired: readonly ServicePortPlan[]): Claim {
    const held = new Set<ClaimKey>();
    const lost: Loser = { refused: new Map(), waitsFor: new Set() };
    const replan = new Set<string>();
    for (const plan of desired) {
      for (const frontend of plan.frontends) {
        if (frontend.kind === "ClusterIP") {
          this.#claimAddress(service, plan, frontend.address, held, lost, replan);
        }
      }
    }
    const conflicts: Conflict[] = [];
    const before = this.#losers.get(service);
    const plans = desired.map((plan) => {
      const frontends = plan.frontends.filter((frontend) => {
        const key = frontendKey(plan, frontend);
        const obstacle = this.#obstacle(service, frontend, key, held);
        if (obstacle === undefined) {
          this.#take(service, plan, frontend, key, replan);
          held.add(key);
          return true;
        }
        const { holder, waitsFor } = obstacle;
        lost.waitsFor.add(waitsFor);
        lost.refused.set(key, holder);
        const isNew = before?.refused.get(key) !== holder;
        if (isNew) conflicts.push({ plan, frontend, holder, isAddress: waitsFor !== key });
        return false;
      });
      return frontends.length === plan.frontends.length ? plan : { ...plan, frontends };
    });
    this.#replaceLoser(service, lost);
    for (const name of this.#keep(service, held)) replan.add(name);
    if (held.size > 0) this.#held.set(service, [...held]);
    const isSettled = before !== undefined && before.refused.size > 0 && lost.refused.size === 0;
    return { plans, conflicts, isSettled, isUndisputed: lost.waitsFor.size === 0, replan: [...replan] };
  }

  /** Claims a ClusterIP as a whole. Services that hold a less trusted frontend there are planned again. */
  #claimAddress(
    service: string,
    plan: ServicePortPlan,
    address: Address,
    held: Set<ClaimKey>,
    lost: Loser,
    replan: Set<string>,
  ): void {
    if (held.has(address)) return;
    const holder = this.#holders.get(address);
    if (holder !== undefined && !isOf(holder, service)) {
      // No conflict as long as the ports differ, but this service is next.
      lost.waitsFor.add(address);
      return;
    }
    this.#holders.set(address, plan.key);
    held.add(address);
    if (holder !== undefined) return;
    for (const key of this.#lessTrusted.get(address)?.keys() ?? []) {
      const displaced = this.#holders.get(key);
      if (displaced !== undefined && !isOf(displaced, service)) replan.add(serviceNameOf(displaced));
    }
  }

  /** Returns why the frontend cannot be held: by whom, and what has to become free. */
  #obstacle(
    service: string,
    frontend: Frontend,
    key: ClaimKey,
    held: ReadonlySet<ClaimKey>,
  ): { readonly holder: PlanKey; readonly waitsFor: ClaimKey } | undefined {
    if (frontend.kind === "LoadBalancerIP" || frontend.kind === "ExternalIP") {
      const owner = this.#holders.get(frontend.address);
      if (owner !== undefined && !isOf(owner, service)) return { holder: owner, waitsFor: frontend.address };
    }
    const holder = this.#holders.get(key);
    if (holder === undefined) return undefined;
    // A port of the same service: the first port of the list gets the frontend.
    if (isOf(holder, service)) return held.has(key) ? { holder, waitsFor: key } : undefined;
    return trustIn(frontend) > this.#trustInHolder(frontend, key) ? undefined : { holder, waitsFor: key };
  }

  #trustInHolder(frontend: Frontend, key: ClaimKey): number {
    if (frontend.kind === "NodePort") return TRUST.NodePort;
    return this.#lessTrusted.get(frontend.address)?.get(key) ?? TRUST.ClusterIP;
  }

  /**
   * Takes a frontend. The holder before is planned again, and so is whoever waits: they wait for another one now, or for
   * a claim that has become less trusted.
   */
  #take(
    service: string,
    plan: ServicePortPlan,
    frontend: Frontend,
    key: ClaimKey,
    replan: Set<string>,
  ): void {
    const holder = this.#holders.get(key);
    if (holder !== undefined) {
      const isOther = !isOf(holder, service);
      if (isOther) replan.add(serviceNameOf(holder));
      if (isOther || trustIn(frontend) < this.#trustInHolder(frontend, key)) this.#addWaiting(key, replan);
    }
    this.#holders.set(key, plan.key);
    if (frontend.kind === "LoadBalancerIP" || frontend.kind === "ExternalIP") {
      const ofAddress = this.#lessTrusted.get(frontend.address) ?? new Map<ClaimKey, number>();
      this.#lessTrusted.set(frontend.address, ofAddress.set(key, trustIn(frontend)));
    } else if (frontend.kind === "ClusterIP") this.#forgetTrust(frontend.address, key);
  }

  #addWaiting(key: ClaimKey, services: Set<string>): void {
    for (const name of this.#waiting.get(key) ?? []) services.add(name);
  }

  /**
   * Releases what the service holds and what is not in `kept`.
   * @returns the services that wait for it.
   */
  #keep(service: string, kept: ReadonlySet<ClaimKey>): readonly string[] {
    const held = this.#held.get(service);
    if (held === undefined) return [];
    const waiting = new Set<string>();
    const left = held.filter((key) => {
      if (kept.has(key)) return true;
      const holder = this.#holders.get(key);
      // Someone else may have taken it meanwhile.
      if (holder === undefined || !isOf(holder, service)) return false;
      this.#holders.delete(key);
      const address = addressIn(key);
      if (address !== undefined) this.#forgetTrust(address, key);
      this.#addWaiting(key, waiting);
      return false;
    });
    if (left.length === 0) this.#held.delete(service);
    else if (left.length < held.length) this.#held.set(service, left);
    return [...waiting];
  }

  #forgetTrust(address: Address, key: ClaimKey): void {
    const ofAddress = this.#lessTrusted.get(address);
    ofAddress?.delete(key);
    if (ofAddress?.size === 0) this.#lessTrusted.delete(address);
  }

  #replaceLoser(service: string, lost: Loser): void {
    const before = this.#losers.get(service);
    for (const key of before?.waitsFor ?? []) {
      const waiting = this.#waiting.get(key);
      waiting?.delete(service);
      if (waiting?.size === 0) this.#waiting.delete(key);
    }
    for (const key of lost.waitsFor) {
      const waiting = this.#waiting.get(key) ?? new Set<string>();
      this.#waiting.set(key, waiting.add(service));
    }
    this.#refusals += lost.refused.size - (before?.refused.size ?? 0);
    if (lost.waitsFor.size > 0) this.#losers.set(service, lost);
    else this.#losers.delete(service);
  }
}

export interface Claim {
  /** The desired plans without the frontends that others hold; a plan that loses none is the desired one. */
  readonly plans: readonly ServicePortPlan[];
  /** Frontends that the service does not get, except those that the same holder kept from it before. */
  readonly conflicts: readonly Conflict[];
  /** True when the service had conflicts before and has none now. */
  readonly isSettled: boolean;
  /** True when the service has all that it claims, and waits for nothing. */
  readonly isUndisputed: boolean;
  /**
   * Names of services to plan again: they wait for what is free now, or hold a frontend that was taken from them.
   */
  readonly replan: readonly string[];
}

/** A frontend that a service port does not get. */
export interface Conflict {
  readonly plan: ServicePortPlan;
  readonly frontend: Frontend;
  /** The service port that has it. */
  readonly holder: PlanKey;
  /** True when the holder has the whole address, as its ClusterIP. */
  readonly isAddress: boolean;
}

/**
 * Formats `192.0.2.1:80/TCP of default/b:http is held by default/a:http`, or `10.96.0.1:443/TCP of default/b:https
 * is refused because 10.96.0.1 is the ClusterIP of default/a`.
 */
export function describeConflict({ plan, frontend, holder, isAddress }: Conflict): string {
  const what = `${describeFrontend(frontend, plan.protocol)} of ${printedName(plan)}`;
  if (!isAddress || frontend.kind === "NodePort") return `${what} is held by ${printedNameOf(holder)}`;
  const address = formatAddress(frontend.address);
  return `${what} is refused because ${address} is the ClusterIP of ${serviceNameOf(holder)}`;
}

/** A service that claims something it does not get. */
interface Loser {
  /** The holders of the frontends that it does not get. */
  readonly refused: Map<ClaimKey, PlanKey>;
  /** The claims that have to become free; also a ClusterIP that it has in common with another service. */
  readonly waitsFor: Set<ClaimKey>;
}

/** Higher wins. Node ports and addresses never meet. */
const TRUST: Readonly<Record<Frontend["kind"], number>> = {
  ClusterIP: 2,
  LoadBalancerIP: 1,
  ExternalIP: 0,
  NodePort: 0,
};

function trustIn(frontend: Frontend): number {
  return TRUST[frontend.kind];
}

/** A printed name and `/TCP/IPv4` follow the name of the service. */
function isOf(holder: PlanKey, service: string): boolean {
  return holder.startsWith(service) && (holder[service.length] === ":" || holder[service.length] === "/");
}

/**
 * Address, protocol and port of a frontend; "node", family, protocol and port of a node port; or an address as a
 * whole. Their lengths differ, so they cannot collide. All characters are below 256, which V8 stores in one byte
 * each.
 */
type ClaimKey = string;

/** Length of protocol and port in a key. */
const PORT_LENGTH = 3;

function frontendKey(plan: ServicePortPlan, frontend: Frontend): ClaimKey {
  const where = frontend.kind === "NodePort" ? `node${plan.family.slice(-1)}` : frontend.address;
  const protocol = PROTOCOLS.indexOf(plan.protocol);
  // join() makes a flat string. A concatenation would keep its parts in memory as well.
  return [where, String.fromCharCode(protocol, frontend.port >> 8, frontend.port & 0xff)].join("");
}

/** Address of the frontend that has the key; undefined for node ports and whole addresses. */
function addressIn(key: ClaimKey): Address | undefined {
  const length = key.length - PORT_LENGTH;
  return length === 4 || length === 16 ? key.slice(0, length) as Address : undefined;
}
