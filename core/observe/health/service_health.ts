import type { HealthCheck, HealthCheckChanges } from "../../plan/health_check.ts";
import type { Family } from "../../net/protocol.ts";

/** A Service that has to wait for a port that another one has. */
export interface PortConflict {
  readonly port: number;
  readonly service: string;
  readonly servedFor: string;
}

export interface ServiceHealthUpdate {
  /** Those that may have to be opened or closed, or on other addresses. */
  readonly ports: ReadonlySet<number>;
  /** That arose with this update. */
  readonly conflicts: readonly PortConflict[];
}

/** Which health-check node ports there are, and whose each is: of Services that want the same one, the first. */
export class ServiceHealth {
  readonly #checks = new Map<string, HealthCheck>();
  /** Names of the Services that want a port; the first has it. Never empty. */
  readonly #claimants = new Map<number, readonly string[]>();

  update(changes: HealthCheckChanges): ServiceHealthUpdate {
    const ports = new Set<number>();
    const conflicts: PortConflict[] = [];
    // What goes frees its port before anything new asks for it.
    for (const [service, check] of changes) {
      const old = this.#checks.get(service);
      if (old === undefined) continue;
      ports.add(old.port);
      if (old.port !== check?.port) this.#release(old.port, service);
      if (check === undefined) this.#checks.delete(service);
    }
    for (const [service, check] of changes) {
      if (check === undefined) continue;
      ports.add(check.port);
      this.#checks.set(service, check);
      const servedFor = this.#claim(check.port, service);
      if (servedFor !== undefined) conflicts.push({ port: check.port, service, servedFor });
    }
    return { ports, conflicts };
  }

  /** Undefined when the port is to be closed. */
  servedOn(port: number): HealthCheck | undefined {
    const [first] = this.#claimants.get(port) ?? [];
    return first === undefined ? undefined : this.#checks.get(first);
  }

  get ports(): Iterable<number> {
    return this.#claimants.keys();
  }

  /** The name of the Service that has the port already, when that is why this one has to wait from now on. */
  #claim(port: number, service: string): string | undefined {
    const claimants = this.#claimants.get(port) ?? [];
    if (claimants.includes(service)) return undefined;
    this.#claimants.set(port, [...claimants, service]);
    return claimants[0];
  }

  #release(port: number, service: string): void {
    const others = (this.#claimants.get(port) ?? []).filter((other) => other !== service);
    if (others.length > 0) this.#claimants.set(port, others);
    else this.#claimants.delete(port);
  }
}

export interface HealthAnswer {
  readonly status: 200 | 503;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: string;
}

/**
 * Upstream's answer, byte for byte: 200 when this node has an endpoint and the proxy keeps up. Whether the node is
 * about to be removed does not matter here: established connections are still served.
 */
export function healthAnswer(check: HealthCheck, family: Family, isHealthy: boolean): HealthAnswer {
  const count = check.localEndpoints.get(family) ?? 0;
  return {
    status: count > 0 && isHealthy ? 200 : 503,
    headers: {
      "content-type": "application/json",
      "x-content-type-options": "nosniff",
      "x-load-balancing-endpoint-weight": String(count),
    },
    body: `{
\t"service": {
\t\t"namespace": ${JSON.stringify(check.namespace)},
\t\t"name": ${JSON.stringify(check.name)}
\t},
\t"localEndpoints": ${count},
\t"serviceProxyHealthy": ${isHealthy}
}`,
  };
}
