import type { Address } from "../../core/net/address.ts";
import type { Protocol } from "../../core/net/protocol.ts";
import type { DesiredState, Endpoint, Frontend, ServicePortPlan } from "../../core/plan/plan.ts";

/** What a node makes of connections: all that is in force there, and which addresses are its own. */
export interface TracedNode extends DesiredState {
  /** Of all its interfaces. Loopback addresses are the node's own without being named here. */
  readonly addresses: readonly Address[];
}

/** The first packet of a connection, as it reaches the node or leaves a process of it. */
export interface Connection {
  readonly source: Address;
  /** Name of the interface it comes in by; undefined when the node itself opens it. */
  readonly incoming: string | undefined;
  /** Of the same family as the source. */
  readonly destination: Address;
  readonly protocol: Protocol;
  readonly port: number;
}

/** What happens to a connection, and why. */
export interface Trace {
  /** Every decision, in the order in which it is made. */
  readonly steps: readonly TraceStep[];
  readonly outcome: TraceOutcome;
}

export interface TraceStep {
  /** "source 10.244.1.5 is a pod of this node: not masqueraded" */
  readonly text: string;
  /** Of docs/behaviour.md, where the rule is: "§4.3". */
  readonly section: string;
}

export type TraceOutcome =
  /** Sent to one of the choices, by chance or by affinity. */
  | {
    readonly verdict: "balanced";
    readonly asked: AskedFrontend;
    /** In the plan's order; at least one. */
    readonly choices: readonly EndpointChoice[];
    /** Seconds for which a client keeps its endpoint; 0 without affinity. */
    readonly affinitySeconds: number;
  }
  /**
   * ICMP port unreachable, or silence. Without `asked` it is an address of services that nothing serves
   * there.
   */
  | { readonly verdict: Refusal; readonly asked: AskedFrontend | undefined }
  /** No business of a service proxy: the node routes it as it is. */
  | { readonly verdict: "passed" };

export type Refusal = "refused" | "dropped";

export interface AskedFrontend {
  readonly plan: ServicePortPlan;
  readonly frontend: Frontend;
}

export interface EndpointChoice {
  readonly endpoint: Endpoint;
  /** Whose address the endpoint sees: the client's, or one of this node's. */
  readonly source: "client" | "node";
  /** What becomes of it on the way, when the endpoint's address is itself one of a service. */
  readonly stopped: Refusal | undefined;
}
