import { type Address, formatAddress, parseAddress } from "../net/address.ts";
import { fingerprint } from "../objects/parse/fingerprint.ts";
import type { ServicePortPlan } from "./plan.ts";

/** A plan as data of JSON: a `ServicePortPlan` whose addresses are text. */
export type PlanText = unknown;

export function planText(plan: ServicePortPlan): PlanText {
  return withAddresses(plan, (address) => formatAddress(address as Address));
}

/** @throws TypeError if the data has an address that is none, or is no plan. */
export function planOfText(data: PlanText): ServicePortPlan {
  const plan = withAddresses(data, (text) => {
    const address = parseAddress(text);
    if (address === undefined) throw new TypeError(`${JSON.stringify(text)} is no address`);
    return address;
  });
  if (typeof plan !== "object" || plan === null || !("key" in plan) || !("frontends" in plan)) {
    throw new TypeError("the data is no plan of a service port");
  }
  return plan as ServicePortPlan;
}

/** Tells plans apart without sending them. Plans of different versions of the program cannot be compared. */
export function planDigest(plan: ServicePortPlan): string {
  return fingerprint(JSON.stringify(plan)).toString(36);
}

/** A copy in which all fields `address` are converted. */
function withAddresses(data: unknown, convert: (address: string) => string): unknown {
  return JSON.parse(JSON.stringify(data, (field, value) => {
    return field === "address" && typeof value === "string" ? convert(value) : value;
  }));
}
