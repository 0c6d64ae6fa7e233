import { BackendError } from "../../../../core/backend/contract.ts";
import type { Address } from "../../../../core/net/address.ts";
import { type PlanKey, printedNameOf, type ServicePortPlan } from "../../../../core/plan/plan.ts";
import { UseCounts } from "../../../use_counts.ts";
import type { KernelMaps } from "../../maps/kernel_maps.ts";
import { SIZE } from "../../maps/layout.ts";
import { slotsOfList } from "../compile.ts";
import { Quota } from "./quota.ts";
import { smallestFirst } from "./smallest_first.ts";
import { TableQuota } from "./table_quota.ts";

/** A limited number of entries that namespaces share. */
export type Resource = "frontends" | "sourceRanges" | "slots";

/** Maps whose capacity is divided. */
export type AdmissionMaps = Pick<KernelMaps, "services" | "source_ranges" | "endpoints">;

/** Number of entries that a service port takes of each resource. */
export interface Demand extends Readonly<Record<Resource, number>> {
  /** Each takes one more frontend, which service ports with the same one share. */
  readonly clusterIPs: readonly Address[];
}

/** A change of what a service port takes. */
export interface AdmissionRequest {
  readonly plan: Pick<ServicePortPlan, "key" | "namespace">;
  /** Entries that it has now. */
  readonly before: Demand;
  readonly after: Demand;
}

/**
 * Decides which service ports get entries in the maps. A change that takes no more of any resource always fits. What is
 * in force therefore stays in force, whatever others ask for.
 */
export class Admission {
  readonly quotas: Readonly<Record<Resource, Quota>>;
  /** Number of frontends per ClusterIP. */
  readonly #clusterIPs = new UseCounts();

  /** The slots of tables. Only those of lists belong to the demand of a service port. */
  readonly tables: TableQuota;

  constructor({ services, source_ranges, endpoints }: AdmissionMaps) {
    const slots = new Quota(endpoints.byteLength / SIZE.endpoint);
    this.tables = new TableQuota(slots);
    this.quotas = {
      frontends: new Quota(services.shape.maxEntries),
      sourceRanges: new Quota(source_ranges.shape.maxEntries),
      slots,
    };
  }

  /** Number of frontends with this ClusterIP. */
  usesOf(clusterIP: string): number {
    return this.#clusterIPs.of(clusterIP);
  }

  /** Resources of which namespaces with much get no more. */
  get scarce(): readonly Resource[] {
    return RESOURCES.filter((resource) => this.quotas[resource].isScarce);
  }

  /**
   * Counts changes if all of them fit. If a resource is scarce, the namespace that has least is served next, each time anew.
   * @returns takes the counts back.
   * @throws BackendError with exactly the service ports that do not fit, and then nothing is counted.
   */
  admit(requests: readonly AdmissionRequest[]): () => void {
    const counted: AdmissionRequest[] = [];
    const count = (request: AdmissionRequest) => {
      this.#replace(request, request.before, request.after);
      counted.push(request);
    };
    const takeBack = (from = 0) => {
      for (const request of counted.splice(from)) this.#replace(request, request.after, request.before);
    };
    const growing = requests.filter(isGrowing);
    // Entries that are given back are free for others.
    for (const request of requests) if (!isGrowing(request)) count(request);
    const kept = counted.length;
    growing.forEach(count);
    if (this.scarce.length === 0) return takeBack;

    takeBack(kept);
    const rejected: Rejection[] = [];
    for (const request of this.#smallestFirst(growing)) {
      const lacking = this.#lacking(request);
      if (lacking === undefined) count(request);
      else rejected.push({ request, lacking });
    }
    if (rejected.length === 0) return takeBack;
    const error = this.#exhausted(rejected);
    takeBack();
    throw error;
  }

  /**
   * Counts all plans, when nothing but tables is counted yet.
   * @param inForce returns what is in force of a plan, which comes before everything else. Called only if a resource is
   * scarce.
   * @throws BackendError with exactly the service ports that do not fit.
   */
  admitAll(plans: readonly ServicePortPlan[], inForce: () => (plan: ServicePortPlan) => Demand): void {
    const requests = plans.map((plan) => ({ plan, before: NOTHING, after: demandOf(plan) }));
    for (const request of requests) this.#replace(request, NOTHING, request.after);
    if (this.scarce.length === 0) return;

    for (const request of requests) this.#replace(request, request.after, NOTHING);
    const inForceOf = inForce();
    const known = requests.map(({ plan, after }): AdmissionRequest => {
      const before = smallerOf(inForceOf(plan), after);
      const request = { plan, before: NOTHING, after: before };
      // Entries of another program may pretend to be more than the map can hold.
      if (this.#lacksSpace(request)) return { plan, before: NOTHING, after };
      this.#replace(request, NOTHING, before);
      return { plan, before, after };
    });
    this.admit(known);
  }

  #replace({ plan: { namespace } }: AdmissionRequest, before: Demand, after: Demand): void {
    for (const resource of RESOURCES) {
      this.quotas[resource].count(namespace, after[resource] - before[resource]);
    }
    const { frontends } = this.quotas;
    for (const address of before.clusterIPs) {
      if (this.#clusterIPs.add(address, -1) === 0) frontends.count(undefined, -1);
    }
    for (const address of after.clusterIPs) {
      if (this.#clusterIPs.add(address, 1) === 1) frontends.count(undefined, 1);
    }
  }

  /** The resource that a growing service port gets no more of. */
  #lacking(request: AdmissionRequest): Resource | undefined {
    const { plan: { namespace }, before, after } = request;
    return RESOURCES.find((resource) => {
      const [quota, more, shared] = [
        this.quotas[resource],
        after[resource] - before[resource],
        this.#sharedOf(request, resource),
      ];
      return more > 0 ? !quota.admits(namespace, more, shared) : shared > quota.free;
    });
  }

  #lacksSpace(request: AdmissionRequest): boolean {
    return RESOURCES.some((resource) =>
      request.after[resource] + this.#sharedOf(request, resource) > this.quotas[resource].free
    );
  }

  /** Entries that a request takes and nobody is charged for. */
  #sharedOf({ after: { clusterIPs } }: AdmissionRequest, resource: Resource): number {
    if (resource !== "frontends") return 0;
    return new Set(clusterIPs.filter((address) => this.usesOf(address) === 0)).size;
  }

  /** Orders requests of one namespace by their names. */
  #smallestFirst(requests: readonly AdmissionRequest[]): Iterable<AdmissionRequest> {
    const byName = requests.toSorted((a, b) => a.plan.key < b.plan.key ? -1 : 1);
    return smallestFirst(byName, ({ plan }) => plan.namespace, (namespace) => this.#sizeOf(namespace));
  }

  /** The share that a namespace has of the resource of which it has most. */
  #sizeOf(namespace: string): number {
    return Math.max(...RESOURCES.map((resource) => {
      const quota = this.quotas[resource];
      return quota.of(namespace) / quota.capacity;
    }));
  }

  #exhausted(rejected: readonly Rejection[]): BackendError {
    const messages = RESOURCES.flatMap((resource) => {
      const [first, ...others] = rejected.filter(({ lacking }) => lacking === resource);
      if (first === undefined) return [];
      const { what, flag } = NAMES[resource];
      const { key, namespace } = first.request.plan;
      const quota = this.quotas[resource];
      const alsoOthers = others.length > 0 ? ` and ${others.length} other service ports` : "";
      return [
        `no room for the ${what} of service port ${printedNameOf(key)}${alsoOthers}: ${quota.free} of ` +
        `${quota.capacity} are free, and its namespace has ${
          quota.of(namespace)
        }. When less than a quarter is free, ` +
        `a namespace gets no more than it leaves to all others. Use fewer ${what}, or increase ${flag} ` +
        "(docs/ebpf.md#quotas)",
      ];
    });
    const keys = rejected.map(({ request }): PlanKey => request.plan.key);
    return new BackendError(`ebpf: ${messages.join("; ")}`, keys);
  }
}

/** A request and the resource that it gets no more of. */
interface Rejection {
  readonly request: AdmissionRequest;
  readonly lacking: Resource;
}

/** The words and the flag of each resource, for operators. */
export const NAMES: Readonly<Record<Resource, { readonly what: string; readonly flag: string }>> = {
  frontends: { what: "addresses and ports", flag: "--ebpf-max-frontends" },
  sourceRanges: { what: "loadBalancerSourceRanges", flag: "--ebpf-max-frontends" },
  slots: { what: "endpoints", flag: "--ebpf-max-endpoints" },
};

const RESOURCES = Object.keys(NAMES) as Resource[];

export const NOTHING: Demand = { frontends: 0, sourceRanges: 0, slots: 0, clusterIPs: [] };

export function demandOf(plan: ServicePortPlan | undefined): Demand {
  if (plan === undefined) return NOTHING;
  return {
    frontends: plan.frontends.length,
    sourceRanges: plan.sourceRanges?.length ?? 0,
    slots: slotsOfList(plan),
    clusterIPs: plan.frontends.flatMap((frontend) => frontend.kind === "ClusterIP" ? [frontend.address] : []),
  };
}

function mapResources(valueOf: (resource: Resource) => number): Record<Resource, number> {
  return {
    frontends: valueOf("frontends"),
    sourceRanges: valueOf("sourceRanges"),
    slots: valueOf("slots"),
  };
}

function isGrowing({ before, after }: AdmissionRequest): boolean {
  return RESOURCES.some((resource) => after[resource] > before[resource]) ||
    after.clusterIPs.some((address) => !before.clusterIPs.includes(address));
}

/** The part of a demand that is in force, at most all of it. */
function smallerOf(inForce: Demand, demand: Demand): Demand {
  return {
    ...mapResources((resource) => Math.min(inForce[resource], demand[resource])),
    clusterIPs: inForce.frontends === 0 ? [] : demand.clusterIPs,
  };
}
