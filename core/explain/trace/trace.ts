import type { Address } from "../../net/address.ts";
import { FrontendIndex } from "./frontend_lookup.ts";
import type { Protocol } from "../../net/protocol.ts";
import type { DesiredState, Endpoint, Frontend, ServicePortPlan } from "../../plan/plan.ts";

/** A node to trace connections on: its state in force and its own addresses. */
export interface TracedNode extends DesiredState {
  /** Addresses of all its interfaces. Loopback addresses belong to the node without being listed. */
  readonly addresses: readonly Address[];
  /** Has all plans. */
  readonly index: FrontendIndex;
  /** Set if connections end at the proxy, which opens others to endpoints (`ModeTraits.relays`). */
  readonly relays?: true | undefined;
}

/** A node with this state and these addresses. */
export function tracedNode(
  desired: DesiredState,
  addresses: readonly Address[],
  relays?: true,
): TracedNode {
  const index = new FrontendIndex();
  for (const plan of desired.plans.values()) index.add(plan);
  return { settings: desired.settings, plans: desired.plans, addresses, index, relays };
}

/** The first packet of a connection, as it arrives at the node or leaves a process of the node. */
export interface Connection {
  readonly source: Address;
  /** Name of the interface where it arrives; undefined when the node itself opens the connection. */
  readonly incoming: string | undefined;
  /** Has the family of the source. */
  readonly destination: Address;
  readonly protocol: Protocol;
  readonly port: number;
}

/** The outcome of a connection, and the reasons. */
export interface Trace {
  /** Every decision, in order. */
  readonly steps: readonly TraceStep[];
  readonly outcome: TraceOutcome;
}

export interface TraceStep {
  /** "source 10.244.1.5 is a pod of this node: not masqueraded" */
  readonly text: string;
  /** Section of docs/behaviour.md that has the rule: "§4.3". */
  readonly section: string;
}

export type TraceOutcome =
  /** Sent to one of the choices, at random or by affinity. */
  | {
    readonly verdict: "balanced";
    readonly target: PlannedFrontend;
    /** In the plan's order; at least one. */
    readonly choices: readonly EndpointChoice[];
    /** Seconds for which a client keeps its endpoint; 0 without affinity. */
    readonly affinitySeconds: number;
  }
  /**
   * ICMP port unreachable, or silence. Without `target` the address is a service address that no service port
   * has.
   */
  | { readonly verdict: Stopped; readonly target: PlannedFrontend | undefined }
  /** Not a connection to a service: the node routes it unchanged. */
  | { readonly verdict: "passed" };

export type Stopped = "rejected" | "dropped";

/** A frontend and the plan that it belongs to. */
export interface PlannedFrontend {
  readonly plan: ServicePortPlan;
  readonly frontend: Frontend;
}

export interface EndpointChoice {
  readonly endpoint: Endpoint;
  /** Source address that the endpoint sees: the client's, or one of this node's. */
  readonly source: "client" | "node";
  /** Verdict on the way to the endpoint, when the endpoint's address is itself a service address. */
  readonly stopped: Stopped | undefined;
}
