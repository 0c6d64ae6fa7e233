import type { BackendMetric } from "../../../core/backend/contract.ts";
import type { Follower, LocalhostOptions } from "../../../core/backend/follower.ts";
import type { InForce } from "../../../core/backend/contract.ts";
import { formatSocketAddress, LOOPBACK } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { type PlanKey, printedNameOf, type ServicePortPlan } from "../../../core/plan/plan.ts";
import { Relay, type RelayTarget } from "./relay.ts";

const RETRY_MS = 5000;

/**
 * Serves TCP node ports on 127.0.0.1 and ::1 from this process, as kube-proxy does with the feature gate
 * KubeProxyNFTablesLocalhostNodePorts (docs/behaviour.md §5.2). nf_tables could translate these connections only with
 * the sysctl route_localnet, which opens services of the node that listen on 127.0.0.1 to its neighbours, and in IPv6
 * not at all.
 */
export class LocalhostRelays implements Follower, Disposable {
  readonly #options: LocalhostOptions;
  #wanted = new Map<string, RelayTarget>();
  readonly #open = new Map<string, Relay>();
  /** Why a port could not be opened, as logged. */
  readonly #failed = new Map<string, string>();
  readonly #failures = new Map<Family, number>();
  #retry: number | undefined;

  constructor(options: LocalhostOptions) {
    this.#options = options;
  }

  synced({ desired, changes, full }: InForce): void {
    if (full) this.#wanted = new Map([...desired.plans.values()].flatMap((plan) => this.#targetsOf(plan)));
    for (const { key, old, new: next } of changes) {
      if (old !== undefined) this.#forget(old, key);
      if (next !== undefined) {
        for (const [id, target] of this.#targetsOf(next)) this.#wanted.set(id, target);
      }
    }
    this.#update();
  }

  metrics(): readonly BackendMetric[] {
    const { families } = this.#options;
    const open = (family: Family) => [...this.#open.keys()].filter((id) => id.startsWith(family)).length;
    return [
      {
        name: "nftables_localhost_nodeport_listeners",
        help: "Number of active localhost NodePort userspace proxy listeners.",
        type: "gauge",
        labels: ["ip_family"],
        samples: families.map((family) => ({ labels: [family], value: open(family) })),
      },
      {
        name: "nftables_localhost_nodeport_listener_creation_failures_total",
        help: "Number of localhost NodePort userspace proxy listener creation failures.",
        type: "counter",
        labels: ["ip_family"],
        samples: families.map((family) => ({ labels: [family], value: this.#failures.get(family) ?? 0 })),
      },
    ];
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#retry);
    for (const relay of this.#open.values()) relay[Symbol.dispose]();
    this.#open.clear();
  }

  #targetsOf(plan: ServicePortPlan): readonly (readonly [string, RelayTarget])[] {
    if (!this.#options.families.includes(plan.family)) return [];
    return relayTargets(plan).map((target) => [idOf(target), target]);
  }

  /** Another service port may have taken over the node port in the same sync. */
  #forget(plan: ServicePortPlan, key: PlanKey): void {
    for (const [id] of this.#targetsOf(plan)) {
      if (this.#wanted.get(id)?.planKey === key) this.#wanted.delete(id);
    }
  }

  #update(): void {
    clearTimeout(this.#retry);
    for (const [id, relay] of this.#open) {
      if (this.#wanted.has(id)) continue;
      relay[Symbol.dispose]();
      this.#open.delete(id);
    }
    for (const id of this.#failed.keys()) if (!this.#wanted.has(id)) this.#failed.delete(id);
    for (const [id, target] of this.#wanted) {
      const relay = this.#open.get(id);
      if (relay === undefined) this.#listen(id, target);
      else relay.target = target;
    }
    if (this.#failed.size === 0) return;
    this.#retry = setTimeout(() => this.#update(), this.#options.retryMs ?? RETRY_MS);
    Deno.unrefTimer(this.#retry);
  }

  #listen(id: string, target: RelayTarget): void {
    const describe = (reason: unknown) => ({
      service: printedNameOf(target.planKey),
      address: formatSocketAddress(LOOPBACK[target.family], target.port),
      err: reason,
    });
    try {
      const onAcceptFailure = (reason: unknown) =>
        this.#options.log.warn(
          "Connections to a node port on a loopback address are not accepted; trying again",
          describe(reason),
        );
      this.#open.set(id, new Relay(target, { onAcceptFailure }));
      this.#failed.delete(id);
    } catch (reason) {
      this.#failures.set(target.family, (this.#failures.get(target.family) ?? 0) + 1);
      const failure = String(reason);
      if (this.#failed.get(id) === failure) return;
      this.#failed.set(id, failure);
      this.#options.log.warn(
        "A node port is not served on a loopback address, because the port cannot be opened; trying again",
        describe(reason),
      );
    }
  }
}

/**
 * The node ports of a plan, with the endpoints that kube-proxy's relay uses: with externalTrafficPolicy Local those of
 * this node. Without an endpoint, connections are refused.
 */
export function relayTargets(plan: ServicePortPlan): readonly RelayTarget[] {
  const { key: planKey, family, external, affinitySeconds } = plan;
  if (plan.protocol !== "TCP" || external.verdict === "reject" || external.verdict === "drop") return [];
  const isLocal = external.verdict === "local-external" || external.to === "local";
  const endpoints = isLocal ? plan.localEndpoints : plan.clusterEndpoints;
  if (endpoints.length === 0) return [];
  return plan.frontends.flatMap((frontend) =>
    frontend.kind === "NodePort" ? [{ planKey, family, port: frontend.port, endpoints, affinitySeconds }] : []
  );
}

function idOf({ family, port }: RelayTarget): string {
  return `${family} ${port}`;
}
