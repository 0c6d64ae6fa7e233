import { type Address, socketKey } from "../../core/net/address.ts";
import type { Family } from "../../core/net/protocol.ts";
import type { Frontend, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import { losesServingEndpoint } from "../../core/plan/same_plan.ts";
import type { PlanChange } from "../../core/backend/contract.ts";
import type { Flow } from "./flow.ts";

/** What the next pass over the conntrack table has to look at: frontends whose flows may have become stale. */
export class Affected {
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

  /**
   * Adds what changes made stale: in UDP, frontends that nobody has any more and those that lost an endpoint; in both,
   * those that begin to be served.
   */
  addChanges(changes: readonly PlanChange[]): void {
    // First what goes: another service may have it now.
    for (const { old, new: plan } of changes) {
      if (old?.protocol !== "UDP") continue;
      for (const frontend of old.frontends) {
        if (plan === undefined || !has(plan, frontend)) this.of(old.family, "UDP").set(frontend, undefined);
      }
    }
    for (const { old, new: plan } of changes) {
      if (plan !== undefined && (lostEndpoint(old, plan) || beginsToServe(old, plan))) this.addPlan(plan);
    }
  }

  /** Adds all frontends of a plan that can have stale flows. */
  addPlan(plan: ServicePortPlan): void {
    const { family, protocol, key } = plan;
    // An unanswered attempt in SCTP is forgotten after three seconds.
    if (protocol === "SCTP") return;
    for (const frontend of plan.frontends) {
      if (protocol === "UDP" || isServed(plan, frontend)) this.of(family, protocol).set(frontend, key);
    }
  }
}

/**
 * Frontends of one family and protocol whose flows may have become stale, each with the service port that has it,
 * or undefined when none has any more.
 */
export class AffectedFrontends {
  readonly #byAddress = new Map<string, PlanKey | undefined>();
  readonly #byNodePort = new Map<number, PlanKey | undefined>();
  /** Of all of them, to tell most flows' innocence at a glance. */
  readonly #ports = new Set<number>();

  get isEmpty(): boolean {
    return this.#ports.size === 0;
  }

  /** Whether flows to addresses of the node may be concerned. */
  get hasNodePorts(): boolean {
    return this.#byNodePort.size > 0;
  }

  set(frontend: Frontend, holder: PlanKey | undefined): void {
    this.#ports.add(frontend.port);
    if (frontend.kind === "NodePort") this.#byNodePort.set(frontend.port, holder);
    else this.#byAddress.set(socketKey(frontend.address, frontend.port), holder);
  }

  /**
   * The frontend that a flow goes to.
   * @param nodeAddresses where node ports answer.
   */
  find(
    flow: Pick<Flow, "destination" | "destinationPort">,
    nodeAddresses: ReadonlySet<Address>,
  ): { readonly holder: PlanKey | undefined } | undefined {
    const { destination, destinationPort } = flow;
    if (!this.#ports.has(destinationPort)) return undefined;
    const key = socketKey(destination, destinationPort);
    const holder = this.#byAddress.get(key);
    if (holder !== undefined || this.#byAddress.has(key)) return { holder };
    if (!this.#byNodePort.has(destinationPort) || !nodeAddresses.has(destination)) return undefined;
    return { holder: this.#byNodePort.get(destinationPort) };
  }
}

/** Datagrams would go on to an endpoint that is gone. */
function lostEndpoint(old: ServicePortPlan | undefined, plan: ServicePortPlan): boolean {
  return plan.protocol === "UDP" && old !== undefined && losesServingEndpoint(old, plan);
}

/** A frontend is new, or has somewhere to send to for the first time. */
function beginsToServe(old: ServicePortPlan | undefined, plan: ServicePortPlan): boolean {
  return plan.frontends.some((frontend) =>
    isServed(plan, frontend) && !(old !== undefined && isServed(old, frontend) && has(old, frontend))
  );
}

/** Whether new connections get to endpoints. */
function isServed(plan: ServicePortPlan, frontend: Frontend): boolean {
  const { verdict } = frontend.kind === "ClusterIP" ? plan.internal : plan.external;
  return verdict === "balance" || verdict === "local-external";
}

function has(plan: ServicePortPlan, frontend: Frontend): boolean {
  return plan.frontends.some((own) =>
    own.port === frontend.port &&
    (own.kind === "NodePort" || frontend.kind === "NodePort"
      ? own.kind === frontend.kind
      : own.address === frontend.address)
  );
}
