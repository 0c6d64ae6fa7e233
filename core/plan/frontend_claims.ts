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
 * Who has which frontend. Two services may ask for the same address and port; the kernel can send it to one. The
 * first to ask keeps it until it lets go, so that a newcomer never takes traffic away. Services that ask together
 * are to do so in the order of `Store.inOrderOfAge`, so that the oldest wins.
 */
export class FrontendClaims {
  readonly #holders = new Map<FrontendKey, PlanKey>();
  readonly #held = new Map<PlanKey, readonly FrontendKey[]>();
  /** Who was refused what and still wants it: by frontend (with the service to plan again), and by service port. */
  readonly #waiting = new Map<FrontendKey, Map<PlanKey, string>>();
  readonly #refused = new Map<PlanKey, readonly FrontendKey[]>();

  /** What of `wanted` may be programmed. What the same service port held before and no longer wants is let go. */
  grant(wanted: ServicePortPlan): Grant {
    const held: FrontendKey[] = [];
    const refused: FrontendKey[] = [];
    const conflicts: string[] = [];
    const frontends = wanted.frontends.filter((frontend) => {
      const key = frontendKey(wanted, frontend);
      const holder = this.#holders.get(key) ?? wanted.key;
      const isGranted = holder === wanted.key;
      (isGranted ? held : refused).push(key);
      if (!isGranted) conflicts.push(describeConflict(wanted, frontend, holder));
      return isGranted;
    });
    const plan = refused.length === 0 ? wanted : { ...wanted, frontends };
    return { plan, conflicts, freed: this.#replace(wanted.key, serviceName(wanted), held, refused) };
  }

  /** The service port is gone: lets go of all it holds. Returns the same as `Grant.freed`. */
  release(key: PlanKey): readonly string[] {
    return this.#replace(key, "", [], []);
  }

  /** Makes `held` and `refused` all that the service port holds and waits for; returns who waited for the rest. */
  #replace(
    key: PlanKey,
    service: string,
    held: readonly FrontendKey[],
    refused: readonly FrontendKey[],
  ): readonly string[] {
    this.#stopWaiting(key);
    if (refused.length > 0) this.#wait(key, service, refused);
    const keeps = new Set(held);
    const freed = (this.#held.get(key) ?? []).filter((frontend) => !keeps.has(frontend));
    for (const frontend of held) this.#holders.set(frontend, key);
    if (held.length === 0) this.#held.delete(key);
    else this.#held.set(key, held.slice());
    for (const frontend of freed) this.#holders.delete(frontend);
    return [...new Set(freed.flatMap((frontend) => [...this.#waiting.get(frontend)?.values() ?? []]))];
  }

  #wait(key: PlanKey, service: string, refused: readonly FrontendKey[]): void {
    this.#refused.set(key, refused);
    for (const frontend of refused) {
      const waiting = this.#waiting.get(frontend) ?? new Map<PlanKey, string>();
      this.#waiting.set(frontend, waiting.set(key, service));
    }
  }

  #stopWaiting(key: PlanKey): void {
    for (const frontend of this.#refused.get(key) ?? []) {
      const waiting = this.#waiting.get(frontend);
      waiting?.delete(key);
      if (waiting?.size === 0) this.#waiting.delete(frontend);
    }
    this.#refused.delete(key);
  }
}

export interface Grant {
  /** `wanted` without the frontends that others hold: `wanted` itself when there are none. */
  readonly plan: ServicePortPlan;
  /** For the log: `10.96.0.10:80/TCP of default/b is held by default/a`. */
  readonly conflicts: readonly string[];
  /** Names of services that wait for a frontend which is free now: to be planned again. */
  readonly freed: readonly string[];
}

/**
 * Address, protocol and port of a frontend, or family, protocol and port of a node port: of different lengths, so
 * they cannot be mixed up. All characters are bytes, which V8 stores in one byte each.
 */
type FrontendKey = string;

function frontendKey(plan: ServicePortPlan, frontend: Frontend): FrontendKey {
  const where = frontend.kind === "NodePort" ? plan.family.slice(-1) : frontend.address;
  const protocol = PROTOCOLS.indexOf(plan.protocol);
  // Joined, because a string made by adding keeps its parts beside it in memory.
  return [where, String.fromCharCode(protocol, frontend.port >> 8, frontend.port & 0xff)].join("");
}

function describeConflict(plan: ServicePortPlan, frontend: Frontend, holder: PlanKey): string {
  const what = describeFrontend(frontend, plan.protocol);
  return `${what} of ${printedName(plan)} is held by ${printedNameOf(holder)}`;
}
