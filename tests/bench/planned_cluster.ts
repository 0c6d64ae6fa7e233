import type { PlanChange } from "../../core/backend/contract.ts";
import { LOOPBACK } from "../../core/net/address.ts";
import { parseObject } from "../../core/objects/parse/index.ts";
import type { DesiredState, PlanKey, ServicePortPlan } from "../../core/plan/plan.ts";
import { type PlanContext, planService } from "../../core/plan/planner.ts";
import { Store } from "../../core/objects/store.ts";
import { type ClusterSize, serviceObject, sliceObject } from "./cluster.ts";

const defaultContext: PlanContext = {
  families: ["IPv4"],
  nodeName: "node-0",
  zone: "zone-0",
  nodeAddresses: LOOPBACK,
  endsConnections: false,
};

const settings: DesiredState["settings"] = [{
  family: "IPv4",
  localTraffic: { mode: "none" },
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  nodePorts: "all",
  interfaceAddresses: [],
  localhostNodePorts: false,
  serviceCidrs: [],
  trafficMetrics: "connections",
}];

/** The desired state of a cluster, and changes of it. Each change starts from this state. */
export class PlannedCluster {
  readonly desired: DesiredState;
  /** Time to plan the whole cluster, in milliseconds. */
  readonly planning: number;
  readonly #size: ClusterSize;
  readonly #context: PlanContext;
  readonly #plans = new Map<PlanKey, ServicePortPlan>();

  /** @param endsConnections See PlanContext. */
  constructor(size: ClusterSize, endsConnections = false) {
    this.#size = size;
    this.#context = { ...defaultContext, endsConnections };
    const store = new Store(defaultContext.nodeName);
    for (let service = 0; service < size.services; service++) {
      put(store, serviceObject(service));
      put(store, sliceObject(service, size));
    }
    const names = store.inOrderOfAge(store.serviceNames());
    const started = performance.now();
    for (const name of names) {
      for (const plan of plansOf(store, name, this.#context)) this.#plans.set(plan.key, plan);
    }
    this.planning = performance.now() - started;
    this.desired = { settings, plans: this.#plans };
  }

  /** Removes one endpoint of a service. @param n any number; selects the service and the endpoint. */
  endpointRemoved(n: number): PlanChange {
    const service = (n * 7919) % this.#size.services;
    const next = this.#planOf(service, service % this.#size.endpoints);
    return { key: next.key, old: this.#plans.get(next.key), new: next };
  }

  /** Adds a service. @param n any number; selects the service. */
  serviceAdded(n: number): PlanChange {
    const plan = this.#planOf(this.#size.services + n);
    return { key: plan.key, old: undefined, new: plan };
  }

  #planOf(service: number, without = -1): ServicePortPlan {
    const store = new Store(defaultContext.nodeName);
    put(store, serviceObject(service));
    put(store, sliceObject(service, this.#size, { without }));
    for (const name of store.serviceNames()) {
      for (const plan of plansOf(store, name, this.#context)) return plan;
    }
    throw new Error(`service ${service} has no plan`);
  }
}

/** The change that reverses another one. */
export function reversed({ key, old, new: next }: PlanChange): PlanChange {
  return { key, old: next, new: old };
}

function put(store: Store, raw: object): void {
  const parsed = parseObject(raw, (problem) => {
    throw new Error(problem);
  });
  if (!("object" in parsed)) throw new Error("an object of the benchmark cannot be parsed");
  store.upsert(parsed.object);
}

function plansOf(store: Store, name: string, context: PlanContext): readonly ServicePortPlan[] {
  const stored = store.get(name);
  return stored === undefined ? [] : planService(stored.service, stored.slices, context);
}
