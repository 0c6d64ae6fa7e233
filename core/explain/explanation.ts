import type { Family, Protocol } from "../net/protocol.ts";
import type { EndpointState } from "../plan/endpoint_state.ts";

/** The answer to a question about a Service or an address. All texts are for operators. */
export interface Explanation {
  /** "Service default/web", "10.96.0.10:80/TCP" */
  readonly subject: string;
  readonly servicePorts: readonly ServicePortFacts[];
  /** Service ports that are not in `servicePorts`. */
  readonly moreServicePorts: number;
  /** The ways of packets that the question is about; empty for a question about a Service as a whole. */
  readonly walks: readonly Walk[];
  /** Problems first. */
  readonly findings: readonly Finding[];
}

/** The part of a service port that this node serves, in one family. */
export interface ServicePortFacts {
  /** "default/web:http" */
  readonly name: string;
  readonly protocol: Protocol;
  readonly family: Family;
  readonly frontends: readonly FrontendFacts[];
  /** Frontends that are not in `frontends`. */
  readonly moreFrontends: number;
  readonly endpoints: readonly EndpointFacts[];
  /** Endpoints that are not in `endpoints`. */
  readonly moreEndpoints: number;
}

export interface FrontendFacts {
  /** "10.96.0.10:80", "node port 30080" */
  readonly frontend: string;
  readonly kind: "ClusterIP" | "ExternalIP" | "LoadBalancerIP" | "NodePort";
  /** The outcome of new connections, by kind of client. */
  readonly outcomes: readonly ClientOutcome[];
}

export interface ClientOutcome {
  /** "pods of this node", "this node", "clients outside" */
  readonly clients: readonly string[];
  readonly verdict: Verdict;
  /** "one of 2 endpoints, which see an address of this node" */
  readonly outcome: string;
}

export type Verdict = "balanced" | "rejected" | "dropped" | "passed";

export interface EndpointFacts {
  /** "10.244.1.5:8080" */
  readonly endpoint: string;
  readonly state: EndpointState;
  /** "" if the slice does not name it. */
  readonly node: string;
  readonly isLocal: boolean;
  /** True if new connections from anywhere may be sent to it on this node. */
  readonly isUsed: boolean;
}

/** The way of a new connection. */
export interface Walk {
  /** "pods of this node (10.244.1.1)" */
  readonly from: string;
  readonly to: string;
  /** Every decision, in order. */
  readonly steps: readonly string[];
  readonly verdict: Verdict;
  readonly outcome: string;
}

export interface Finding {
  /** A name for programs: "endpoints-not-ready". */
  readonly cause: string;
  /** "problem": some connections fail because of it. "notice": it explains a behaviour that may surprise. */
  readonly severity: "problem" | "notice";
  /** The Service, address or part of the node that it is about. */
  readonly about: string;
  readonly text: string;
  /** The remedy; "" for a notice that needs nothing. */
  readonly advice: string;
}
