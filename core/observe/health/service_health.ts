import type { HealthCheck, HealthCheckChanges } from "../../plan/health_check.ts";
import type { Family } from "../../net/protocol.ts";

/** A Service whose port belongs to another Service. */
export interface PortConflict {
  readonly port: number;
  readonly service: string;
  readonly servedFor: string;
}

export interface ServiceHealthUpdate {
  /** Ports whose listeners may have to be opened, closed or moved to other addresses. */
  readonly ports: ReadonlySet<number>;
  /** Conflicts that are new with this update. */
  readonly conflicts: readonly PortConflict[];
}

/** Records which Service each health-check node port belongs to: the first of those that claim it. */
export class ServiceHealth {
  readonly #checks = new Map<string, HealthCheck>();
  /** Names of the Services that claim a port. The first one holds it. Never empty. */
  readonly #claimants = new Map<number, readonly string[]>();

  update(changes: HealthCheckChanges): ServiceHealthUpdate {
    const ports = new Set<number>();
    const conflicts: PortConflict[] = [];
    // Ports are released before any are claimed.
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

  /** Returns the health check to serve on a port; undefined when the port has to be closed. */
  servedOn(port: number): HealthCheck | undefined {
    const [first] = this.#claimants.get(port) ?? [];
    return first === undefined ? undefined : this.#checks.get(first);
  }

  get ports(): Iterable<number> {
    return this.#claimants.keys();
  }

  /** Claims a port. Returns the name of the Service that holds it when this claim is a new conflict. */
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
 * Builds kube-proxy's answer, byte for byte: 200 when this node has an endpoint and the proxy is healthy. A
 * node that is about to be removed still answers 200, because established connections are still served.
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
