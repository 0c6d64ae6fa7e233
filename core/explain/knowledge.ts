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
  /**
   * Why Services are not for this proxy, by `namespace/name`: "it is headless (clusterIP None)". Undefined if it is not
   * known which there are.
   */
  readonly unused: ReadonlyMap<string, string> | undefined;
  /**
   * Why the object of a Service is invalid, without a period; undefined if it is not. A version before it may be in force.
   * @param service `namespace/name`
   */
  invalidReasonOf(service: string): string | undefined;
  /** Returns the parts of a plan that the mode does not serve. */
  limitationsOf(plan: ServicePortPlan): readonly Limitation[];
  /**
   * Sentences without a period about frontends that a service claims and others have.
   * @param service `namespace/name`
   */
  conflictsOf(service: string): readonly string[];
}
