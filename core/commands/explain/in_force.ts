import type { Explanation, Finding } from "../../explain/explanation.ts";
import { type Address, formatAddress } from "../../net/address.ts";
import { type DesiredState, type PlanKey, serviceNameOf, type ServicePortPlan } from "../../plan/plan.ts";
import { planDigest, planOfText } from "../../plan/plan_text.ts";
import type { InForceDigests, ServiceInForce } from "../../observe/status/in_force.ts";
import { type Ask, rejectionFindings, type RunningProxy } from "./running.ts";

/** Services whose plans are read from the running proxy. */
const MAX_SERVICES = 100;
const PAGE = 5000;

/**
 * Replaces planned service ports by what the running proxy has in force, where that differs: it keeps the last valid
 * version of an object that is invalid now, or that the kernel rejects.
 * @returns undefined if too much differs, for example because the proxy waits for its source.
 * @throws Error if the proxy does not answer.
 */
export async function asInForce(ask: Ask, desired: DesiredState): Promise<DesiredState | undefined> {
  const digests = await readDigests(ask);
  const differing = new Set<PlanKey>();
  for (const [key, plan] of desired.plans) {
    if (digests.get(key) !== planDigest(plan)) differing.add(key);
  }
  for (const key of digests.keys()) {
    if (!desired.plans.has(key)) differing.add(key);
  }
  const services = new Set([...differing].map(serviceNameOf));
  if (services.size > MAX_SERVICES) return undefined;
  const plans = new Map<PlanKey, ServicePortPlan>();
  for (const [key, plan] of desired.plans) {
    if (!services.has(serviceNameOf(key))) plans.set(key, plan);
  }
  for (const service of services) {
    const inForce = await ask<ServiceInForce>(inForcePath(service));
    if (inForce.moreServicePorts > 0) return undefined;
    for (const plan of inForce.servicePorts.map(planOfText)) plans.set(plan.key, plan);
  }
  return { settings: desired.settings, plans };
}

/** @param service `namespace/name` */
function inForcePath(service: string): string {
  return `in-force?service=${encodeURIComponent(service)}`;
}

/** The map may change between two pages. Then the comparison that follows finds a difference, or the next one does not. */
async function readDigests(ask: Ask): Promise<ReadonlyMap<PlanKey, string>> {
  const digests = new Map<PlanKey, string>();
  for (let offset = 0;; offset += PAGE) {
    const { total, servicePorts } = await ask<InForceDigests>(`in-force?offset=${offset}&limit=${PAGE}`);
    for (const { key, digest } of servicePorts) digests.set(key as PlanKey, digest);
    if (servicePorts.length < PAGE || offset + PAGE >= total) return digests;
  }
}

/**
 * Lets the running proxy explain if the source has no such service. The proxy keeps the version before of an object that is
 * invalid now, and packets meet that.
 */
export async function explainInForce(
  explanation: Explanation,
  { ask, isDifferent }: RunningProxy,
  question: string,
  [from]: readonly Address[] = [],
): Promise<Explanation> {
  if (explanation.servicePorts.length > 0 || ask === undefined || isDifferent) return explanation;
  const parameters = new URLSearchParams({ question, from: from === undefined ? "" : formatAddress(from) });
  try {
    const inForce = await ask<Explanation>(`explain?${parameters}`);
    if (inForce.servicePorts.length === 0) return explanation;
    const isInvalid = inForce.findings.some(({ cause }) => cause === "invalid-service");
    return isInvalid ? inForce : { ...inForce, findings: [ONLY_IN_FORCE, ...inForce.findings] };
  } catch {
    return explanation;
  }
}

const ONLY_IN_FORCE: Finding = {
  cause: "only-in-force",
  severity: "notice",
  about: "the source of objects",
  text:
    "It does not have the service, or not as a valid object, and the proxy has a version before in force.",
  advice:
    "Look for the object in proxy status and in the log of the proxy. If it was deleted a moment ago, ask again",
};

/** Findings about service ports of these Services that the kernel rejects. */
export async function rejectionsOf(ask: Ask, services: readonly string[]): Promise<readonly Finding[]> {
  const findings: Finding[] = [];
  for (const service of services) {
    try {
      const { rejections } = await ask<ServiceInForce>(inForcePath(service));
      findings.push(...rejectionFindings(rejections));
    } catch {
      // A proxy of another version, which a finding names.
    }
  }
  return findings;
}
