import { PROTOCOLS } from "../net/protocol.ts";
import {
  describeFrontend,
  type Frontend,
  type PlanKey,
  printedName,
  printedNameOf,
  type ServicePortPlan,
} from "./plan.ts";
import { serviceName } from "../objects/store.ts";

/**
 * Records which service port holds which frontend. Two services may claim the same address and port, but the
 * kernel can send it to only one. The first one to claim a frontend keeps it until it releases it, so that a
 * new service never takes traffic away. Services that are planned together have to claim in the order of
 * `Store.inOrderOfAge`, so that the oldest gets the frontend.
 */
export class FrontendClaims {
  readonly #holders = new Map<FrontendKey, PlanKey>();
  readonly #held = new Map<PlanKey, readonly FrontendKey[]>();
  /**
   * Claims in conflict, by frontend: the service ports that wait for it, each with the service to plan again.
   */
  readonly #waiting = new Map<FrontendKey, Map<PlanKey, string>>();
  /** Claims in conflict, by service port. */
  readonly #conflicting = new Map<PlanKey, readonly FrontendKey[]>();

  /**
   * Claims the frontends of a plan, and releases those that the same service port held before and no longer
   * claims.
   */
  claim(desired: ServicePortPlan): Claim {
    const held: FrontendKey[] = [];
    const conflicting: FrontendKey[] = [];
    const conflicts: string[] = [];
    const frontends = desired.frontends.filter((frontend) => {
      const key = frontendKey(desired, frontend);
      const holder = this.#holders.get(key) ?? desired.key;
      const isHeld = holder === desired.key;
      (isHeld ? held : conflicting).push(key);
      if (!isHeld) conflicts.push(describeConflict(desired, frontend, holder));
      return isHeld;
    });
    const plan = conflicting.length === 0 ? desired : { ...desired, frontends };
    return { plan, conflicts, freed: this.#replace(desired.key, serviceName(desired), held, conflicting) };
  }

  /** Releases all frontends of a service port that is gone. Returns the same as `Claim.freed`. */
  release(key: PlanKey): readonly string[] {
    return this.#replace(key, "", [], []);
  }

  /**
   * Replaces the frontends that the service port holds and waits for. Returns the services that waited for
   * the others.
   */
  #replace(
    key: PlanKey,
    service: string,
    held: readonly FrontendKey[],
    conflicting: readonly FrontendKey[],
  ): readonly string[] {
    this.#stopWaiting(key);
    if (conflicting.length > 0) this.#wait(key, service, conflicting);
    const keeps = new Set(held);
    const freed = (this.#held.get(key) ?? []).filter((frontend) => !keeps.has(frontend));
    for (const frontend of held) this.#holders.set(frontend, key);
    if (held.length === 0) this.#held.delete(key);
    else this.#held.set(key, held.slice());
    for (const frontend of freed) this.#holders.delete(frontend);
    return [...new Set(freed.flatMap((frontend) => [...this.#waiting.get(frontend)?.values() ?? []]))];
  }

  #wait(key: PlanKey, service: string, conflicting: readonly FrontendKey[]): void {
    this.#conflicting.set(key, conflicting);
    for (const frontend of conflicting) {
      const waiting = this.#waiting.get(frontend) ?? new Map<PlanKey, string>();
      this.#waiting.set(frontend, waiting.set(key, service));
    }
  }

  #stopWaiting(key: PlanKey): void {
    for (const frontend of this.#conflicting.get(key) ?? []) {
      const waiting = this.#waiting.get(frontend);
      waiting?.delete(key);
      if (waiting?.size === 0) this.#waiting.delete(frontend);
    }
    this.#conflicting.delete(key);
  }
}

export interface Claim {
  /** `desired` without the frontends that other service ports hold; `desired` itself when there are none. */
  readonly plan: ServicePortPlan;
  /** For the log: `10.96.0.10:80/TCP of default/b is held by default/a`. */
  readonly conflicts: readonly string[];
  /** Names of services to plan again, because they wait for a frontend that is now free. */
  readonly freed: readonly string[];
}

/**
 * Address, protocol and port of a frontend, or family, protocol and port of a node port. Their lengths
 * differ, so they cannot collide. All characters are below 256, which V8 stores in one byte each.
 */
type FrontendKey = string;

function frontendKey(plan: ServicePortPlan, frontend: Frontend): FrontendKey {
  const where = frontend.kind === "NodePort" ? plan.family.slice(-1) : frontend.address;
  const protocol = PROTOCOLS.indexOf(plan.protocol);
  // join() makes a flat string. A concatenation would keep its parts in memory as well.
  return [where, String.fromCharCode(protocol, frontend.port >> 8, frontend.port & 0xff)].join("");
}

function describeConflict(plan: ServicePortPlan, frontend: Frontend, holder: PlanKey): string {
  const what = describeFrontend(frontend, plan.protocol);
  return `${what} of ${printedName(plan)} is held by ${printedNameOf(holder)}`;
}
