import type { Cidr } from "../net/address.ts";
import type { Store } from "../objects/store.ts";
import type { Limitation } from "../plan/limitation.ts";
import type { ServicePortPlan } from "../plan/plan.ts";
import type { PlanContext } from "../plan/planner.ts";
import type { TracedNode } from "./trace/trace.ts";

/** The state of the cluster and of this node that explanations are made from. */
export interface Knowledge {
  readonly store: Pick<Store, "get" | "serviceNames">;
  readonly context: PlanContext;
  /** The desired state of this node. */
  readonly traced: TracedNode;
  /** Ranges of the pods of this node, as its Node object names them. */
  readonly podCidrs: readonly Cidr[];
  /** Services that exist but are not used, by `namespace/name`; undefined if it is not known which there are. */
  readonly unused: ReadonlyMap<string, UnusedService> | undefined;
  /** Returns the parts of a plan that the mode does not serve. */
  limitationsOf(plan: ServicePortPlan): readonly Limitation[];
  /**
   * Sentences without a period about frontends that a service claims and others have.
   * @param service `namespace/name`
   */
  conflictsOf(service: string): readonly string[];
}

/** A Service that the proxy does not serve. */
export interface UnusedService {
  /** "it is headless (clusterIP None)", "spec.ports: missing; a Service needs at least one" */
  readonly why: string;
  /** True if the object is invalid, false if it is meant for another program or needs no proxy. */
  readonly isInvalid: boolean;
}
