import { type Address, socketKey } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { Frontend, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import { losesNewFlowEndpoint, losesServingEndpoint, sameFrontends } from "../../core/plan/same_plan.ts";
import type { PlanChange } from "../../core/backend/contract.ts";
import type { Flow } from "./flow.ts";

/**
 * Longest delay of a pass for TCP frontends that begin to be served. A client repeats its SYN after a second, and must
 * then be answered.
 */
const BEGIN_DELAY_MS = 100;

/**
 * Longest delay of a pass for TCP service ports that lost an endpoint. The endpoint may answer what has just reached it,
 * and a rollout causes one pass per second.
 */
const LOSS_DELAY_MS = 1000;

/** Frontends whose flows may have become stale. The next pass over the conntrack table examines them. */
export class Affected {
  #beginsToServe = false;
  readonly #kinds: Readonly<Record<Family, Readonly<Record<"UDP" | "TCP", AffectedFrontends>>>> = {
    IPv4: { UDP: new AffectedFrontends(), TCP: new AffectedFrontends() },
    IPv6: { UDP: new AffectedFrontends(), TCP: new AffectedFrontends() },
  };

  of(family: Family, protocol: "UDP" | "TCP"): AffectedFrontends {
    return this.#kinds[family][protocol];
  }

  get isEmpty(): boolean {
    const { IPv4, IPv6 } = this.#kinds;
    return !this.hasUdp && IPv4.TCP.isEmpty && IPv6.TCP.isEmpty;
  }

  get hasUdp(): boolean {
    const { IPv4, IPv6 } = this.#kinds;
    return !IPv4.UDP.isEmpty || !IPv6.UDP.isEmpty;
  }

  /** Time that may pass before these frontends are examined, in ms. */
  get delayMs(): number {
    if (this.hasUdp) return 0;
    return this.#beginsToServe ? BEGIN_DELAY_MS : LOSS_DELAY_MS;
  }

  /**
   * Adds the frontends that changes affect. UDP: frontends that no service has any more. UDP and TCP: frontends that
   * lost an endpoint, or begin to be served.
   */
  addChanges(changes: readonly PlanChange[]): void {
    // Removed frontends first, because another service may have them now.
    for (const { old, new: plan } of changes) {
      if (old?.protocol !== "UDP" || plan !== undefined && sameFrontends(old, plan)) continue;
      const kept = new Set(plan?.frontends.map(frontendId));
      for (const frontend of old.frontends) {
        if (!kept.has(frontendId(frontend))) this.of(old.family, "UDP").set(frontend, undefined);
      }
    }
    for (const { old, new: plan } of changes) {
      if (plan === undefined) continue;
      const begins = beginsToServe(old, plan);
      if (begins || lostEndpoint(old, plan)) this.addPlan(plan);
      this.#beginsToServe ||= begins;
    }
  }

  /** Adds all frontends of a plan that can have stale flows. */
  addPlan(plan: ServicePortPlan): void {
    const { family, protocol, key } = plan;
    // The kernel forgets an unanswered SCTP attempt after three seconds.
    if (protocol === "SCTP") return;
    for (const frontend of plan.frontends) this.of(family, protocol).set(frontend, key);
  }
}

/**
 * Frontends of one family and protocol whose flows may have become stale, each with the service port that owns it, or
 * undefined if none owns it any more.
 */
export class AffectedFrontends {
  readonly #byAddress = new Map<string, PlanKey | undefined>();
  readonly #byNodePort = new Map<number, PlanKey | undefined>();
  /** Ports of all affected frontends: a cheap pre-filter that rules out most flows. */
  readonly #ports = new Set<number>();

  get isEmpty(): boolean {
    return this.#ports.size === 0;
  }

  /** Reports whether flows to addresses of the node may be affected. */
  get hasNodePorts(): boolean {
    return this.#byNodePort.size > 0;
  }

  set(frontend: Frontend, owner: PlanKey | undefined): void {
    this.#ports.add(frontend.port);
    if (frontend.kind === "NodePort") this.#byNodePort.set(frontend.port, owner);
    else this.#byAddress.set(socketKey(frontend.address, frontend.port), owner);
  }

  /**
   * Finds the affected frontend that a flow goes to.
   * @param nodeAddresses addresses on which node ports answer.
   */
  find(
    flow: Pick<Flow, "destination" | "destinationPort">,
    nodeAddresses: ReadonlySet<Address>,
  ): { readonly owner: PlanKey | undefined } | undefined {
    const { destination, destinationPort } = flow;
    if (!this.#ports.has(destinationPort)) return undefined;
    const key = socketKey(destination, destinationPort);
    const owner = this.#byAddress.get(key);
    if (owner !== undefined || this.#byAddress.has(key)) return { owner };
    if (!this.#byNodePort.has(destinationPort) || !nodeAddresses.has(destination)) return undefined;
    return { owner: this.#byNodePort.get(destinationPort) };
  }
}

/** Reports whether UDP flows, or attempts to connect by TCP, may still go to an endpoint that is gone. */
function lostEndpoint(old: ServicePortPlan | undefined, plan: ServicePortPlan): boolean {
  if (old === undefined) return false;
  return plan.protocol === "UDP" ? losesServingEndpoint(old, plan) : losesNewFlowEndpoint(old, plan);
}

/** Reports whether a frontend is new, or has endpoints for the first time. */
function beginsToServe(old: ServicePortPlan | undefined, plan: ServicePortPlan): boolean {
  // Without new frontends, all of one kind are served the same way.
  const hasNew = old === undefined || !sameFrontends(old, plan);
  const served = new Set(
    hasNew ? old?.frontends.filter((frontend) => isServed(old, frontend)).map(frontendId) : [],
  );
  return plan.frontends.some((frontend) =>
    isServed(plan, frontend) && !(hasNew ? served.has(frontendId(frontend)) : isServed(old, frontend))
  );
}

/** Reports whether new connections reach endpoints. */
function isServed(plan: ServicePortPlan, frontend: Frontend): boolean {
  const { verdict } = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
  return verdict === "balance" || verdict === "local-external";
}

/** Identifies a frontend within its plan, whatever the kind of its address is. */
function frontendId(frontend: Frontend): string {
  return frontend.kind === "NodePort" ? `${frontend.port}` : socketKey(frontend.address, frontend.port);
}
