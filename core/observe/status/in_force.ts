import { eachInTurns } from "../../async/turns.ts";
import type { ServicePortPlan } from "../../plan/plan.ts";
import { printedNameOf, serviceNameOf } from "../../plan/plan.ts";
import { planDigest, type PlanText, planText } from "../../plan/plan_text.ts";
import type { RejectedPort } from "../../sync/retry_schedule.ts";
import { shortened } from "./events.ts";
import type { KnownServices } from "./services.ts";

/** The answer of /api/v1/in-force?service=…: what is in force of one Service. */
export interface ServiceInForce {
  readonly servicePorts: readonly PlanText[];
  /** Service ports that are not in `servicePorts`, because there are many, or because they have many endpoints. */
  readonly moreServicePorts: number;
  readonly rejections: readonly RejectionStatus[];
  /** Rejected service ports that are not in `rejections`. */
  readonly moreRejections: number;
}

/** The answer of /api/v1/in-force: digests of what is in force, by which a command finds what differs from its plans. */
export interface InForceDigests {
  /** Number of service ports in force. */
  readonly total: number;
  readonly offset: number;
  readonly servicePorts: readonly { readonly key: string; readonly digest: string }[];
}

export interface RejectionStatus {
  /** `default/web:http` */
  readonly servicePort: string;
  readonly reason: string;
  readonly since: string;
  readonly nextRetry: string;
}

const MAX_PORTS = 64;
/** Endpoints of all service ports together. */
const MAX_ENDPOINTS = 10_000;
const MAX_REJECTIONS = 64;

/** @param service `namespace/name` */
export async function inForceOf(
  services: Pick<KnownServices, "applied" | "rejections">,
  service: string,
  nowMs: number,
): Promise<ServiceInForce> {
  const plans: ServicePortPlan[] = [];
  let [total, endpoints] = [0, 0];
  await eachInTurns(services.applied.values(), (plan) => {
    if (`${plan.namespace}/${plan.name}` !== service) return;
    total++;
    const own = plan.clusterEndpoints.length + plan.localEndpoints.length + plan.servingEndpoints.length;
    if (plans.length >= MAX_PORTS || endpoints + own > MAX_ENDPOINTS) return;
    endpoints += own;
    plans.push(plan);
  });
  const texts: PlanText[] = [];
  await eachInTurns(plans, (plan) => texts.push(planText(plan)));
  return {
    servicePorts: texts,
    moreServicePorts: total - plans.length,
    ...await rejectionsOf(services, service, nowMs),
  };
}

/**
 * Returns the service ports of one Service that the kernel rejects.
 * @param service `namespace/name`
 */
export async function rejectionsOf(
  { rejections }: Pick<KnownServices, "rejections">,
  service: string,
  nowMs: number,
): Promise<Pick<ServiceInForce, "rejections" | "moreRejections">> {
  const rejected: RejectedPort[] = [];
  await eachInTurns(rejections.ports(), (port) => {
    if (serviceNameOf(port.key) === service) rejected.push(port);
  });
  const shown = rejected.slice(0, MAX_REJECTIONS);
  return {
    rejections: shown.map((port) => rejectionStatus(port, nowMs)),
    moreRejections: rejected.length - shown.length,
  };
}

export async function inForceDigests(
  { applied }: Pick<KnownServices, "applied">,
  offset: number,
  limit: number,
): Promise<InForceDigests> {
  const servicePorts: InForceDigests["servicePorts"][number][] = [];
  let index = 0;
  await eachInTurns(applied, ([key, plan]) => {
    if (index >= offset && servicePorts.length < limit) servicePorts.push({ key, digest: planDigest(plan) });
    index++;
  });
  return { total: applied.size, offset, servicePorts };
}

/** @param nowMs milliseconds since the epoch. */
export function rejectionStatus(
  { key, reason, sinceMs, retryAtMs }: RejectedPort,
  nowMs: number,
): RejectionStatus {
  // The time of performance.now() == 0.
  const epochMs = nowMs - performance.now();
  const timestamp = (ms: number) => new Date(epochMs + ms).toISOString();
  return {
    servicePort: printedNameOf(key),
    reason: shortened(reason),
    since: timestamp(sinceMs),
    nextRetry: timestamp(retryAtMs),
  };
}
