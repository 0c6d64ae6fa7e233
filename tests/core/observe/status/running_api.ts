import { LiveExplainer } from "../../../../core/commands/explain/live.ts";
import { ProxyHealth } from "../../../../core/observe/health/health.ts";
import { apiRoutes } from "../../../../core/observe/http/api_routes.ts";
import { parseHead } from "../../../../core/observe/http/request.ts";
import { Activity } from "../../../../core/observe/status/activity.ts";
import type { StatusSources } from "../../../../core/observe/status/status.ts";
import type { PlanQueue } from "../../../../core/sync/plan_queue.ts";
import { address } from "../../plan/builders.ts";

/**
 * The API of a process that has services in force.
 * @param more parts of the process that differ.
 * @param sharedMs time that questions share one look at what is in force.
 */
export function runningApi(services: PlanQueue, more: Partial<StatusSources> = {}, sharedMs = 0) {
  const activity = new Activity();
  const health = new ProxyHealth({
    families: ["IPv4"],
    timeoutMs: 1000,
    eligible: true,
    rejectedSince: () => undefined,
  });
  const routes = apiRoutes(
    {
      version: "1",
      mode: "nftables",
      modeReason: undefined,
      node: "here",
      families: ["IPv4"],
      sourceKind: "API server",
      health,
      activity,
      services,
      traffic: { get: () => Promise.resolve({ services: [], unallocated: {} }) },
      trafficLevel: "connections",
      relay: undefined,
      loopback: undefined,
      ...more,
    },
    new LiveExplainer(services, () => [address("192.0.2.1")], {}, activity.invalidObjects, sharedMs),
    0,
  );
  const answer = async (target: string, method = "GET"): Promise<Response | undefined> => {
    const request = parseHead(`${method} ${target} HTTP/1.1\r\nHost: x`);
    return await routes[request.path]?.(request);
  };
  return { activity, health, answer };
}
