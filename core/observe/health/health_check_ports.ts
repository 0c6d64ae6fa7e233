import { formatListenAddress } from "../../config/document/listen_address.ts";
import { type Address, familyOf, formatAddress, isLinkLocal, parseAddress } from "../../net/address.ts";
import type { HealthCheckChanges } from "../../plan/health_check.ts";
import type { NodePortAddresses } from "../../plan/node_settings.ts";
import { FAMILIES, type Family } from "../../net/protocol.ts";
import type { ServiceWarning } from "../../source.ts";
import type { Log } from "../log.ts";
import { Connections } from "../http/connections.ts";
import { HttpListener } from "../http/listener.ts";
import { reasonOf } from "../http/server.ts";
import { text } from "../http/text.ts";
import { healthAnswer, ServiceHealth } from "./service_health.ts";

export interface HealthCheckPortsOptions {
  /** Health of the proxy: see `ProxyHealth`. */
  readonly isHealthy: () => boolean;
  readonly log: Log;
  /** Tells the owner of a Service that its port cannot be served. */
  readonly warn?: (warning: ServiceWarning) => void;
  /** Time until a port that could not be opened is tried again; a sync tries it earlier. */
  readonly retryMs?: number;
}

const RETRY_MS = 5000;

/**
 * Listens on health-check node ports (docs/behaviour.md §7.2). `sync` changes the answers at once. Listeners
 * are opened and closed soon after it, one at a time, because a port that is being closed cannot be opened.
 */
export class HealthCheckPorts implements AsyncDisposable {
  readonly #options: HealthCheckPortsOptions;
  readonly #health = new ServiceHealth();
  /** One budget for all ports, of which a cluster may have hundreds. */
  readonly #connections: Connections;
  #addresses: NodePortAddresses = { IPv4: NOWHERE, IPv6: NOWHERE };
  /** Open listeners by port, then by address. */
  readonly #open = new Map<number, Map<string, HttpListener>>();
  /** Ports to try again at the next sync, with the failure that was logged. */
  readonly #failed = new Map<number, string>();
  readonly #dirty = new Set<number>();
  #work: Promise<void> | undefined;
  #retry: number | undefined;

  constructor(options: HealthCheckPortsOptions) {
    this.#options = options;
    this.#connections = new Connections("health-check node ports", options.log);
  }

  /**
   * Called after each sync.
   * @param changes changed health checks.
   * @param addresses addresses where node ports answer now.
   */
  sync(changes: HealthCheckChanges, addresses: NodePortAddresses): void {
    const { ports, conflicts } = this.#health.update(changes);
    for (const conflict of conflicts) {
      this.#options.log.warn("A health-check node port belongs to another Service", { ...conflict });
    }
    const hasMoved = addresses !== this.#addresses;
    this.#addresses = addresses;
    this.#update(ports);
    this.#update(hasMoved ? this.#health.ports : this.#failed.keys());
  }

  /** Number of ports that could not be opened and are tried again. */
  get failed(): number {
    return this.#failed.size;
  }

  /** Resolves when all listeners are as of the last sync, or have failed. */
  async settled(): Promise<void> {
    await this.#work;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    clearTimeout(this.#retry);
    this.#dirty.clear();
    await this.#work;
    clearTimeout(this.#retry);
    const listeners = [...this.#open.values()].flatMap((ofPort) => [...ofPort.values()]);
    await Promise.all(listeners.map((listener) => listener[Symbol.asyncDispose]()));
  }

  #update(ports: Iterable<number>): void {
    for (const port of ports) this.#dirty.add(port);
    if (this.#dirty.size > 0) this.#work ??= this.#updateAll();
  }

  async #updateAll(): Promise<void> {
    for (const port of this.#dirty) {
      this.#dirty.delete(port);
      await this.#updatePort(port);
    }
    this.#work = undefined;
    clearTimeout(this.#retry);
    if (this.#failed.size === 0) return;
    this.#retry = setTimeout(() => this.#update(this.#failed.keys()), this.#options.retryMs ?? RETRY_MS);
    Deno.unrefTimer(this.#retry);
  }

  /** Opens and closes listeners until the port is served on the right addresses. */
  async #updatePort(port: number): Promise<void> {
    const check = this.#health.servedOn(port);
    const desired = check === undefined
      ? new Map<string, Family | "both">()
      : listenersOf(check.localEndpoints, this.#addresses);
    const open = this.#open.get(port) ?? new Map<string, HttpListener>();
    this.#open.set(port, open);
    for (const [hostname, listener] of open) {
      if (desired.has(hostname)) continue;
      open.delete(hostname);
      await listener[Symbol.asyncDispose]();
    }
    let problem: string | undefined;
    for (const [hostname, family] of desired) {
      try {
        if (!open.has(hostname)) open.set(hostname, this.#listen(hostname, port, family));
      } catch (cause) {
        problem ??= `${formatListenAddress({ hostname, port })}: ${reasonOf(cause)}`;
      }
    }
    if (open.size === 0) this.#open.delete(port);
    this.#report(port, problem);
  }

  /** Logs once why a port cannot be served, and for which Service. */
  #report(port: number, problem: string | undefined): void {
    const check = this.#health.servedOn(port);
    if (problem === undefined || check === undefined) {
      this.#failed.delete(port);
      return;
    }
    const service = `${check.namespace}/${check.name}`;
    const failure = `${service} ${problem}`;
    if (this.#failed.get(port) !== failure) {
      const { log, warn } = this.#options;
      log.error("Listening on a health-check node port failed; retrying", { service, port, problem });
      // The Event is kube-proxy's: docs/behaviour.md §7.2.
      warn?.({
        namespace: check.namespace,
        name: check.name,
        reason: "FailedToStartServiceHealthcheck",
        action: "Listen",
        note: `failed to start healthcheck "${service}" on port ${port}: ${problem}`,
      });
    }
    this.#failed.set(port, failure);
  }

  /** @throws the error of Deno.listen when it cannot listen. */
  #listen(hostname: string, port: number, family: Family | "both"): HttpListener {
    return new HttpListener({
      hostname,
      port,
      name: `health-check node port ${port}`,
      connections: this.#connections,
      answer: (_request, peer) => this.#answer(port, family === "both" ? familyOfPeer(peer) : family),
      log: this.#options.log,
    });
  }

  #answer(port: number, family: Family): Response {
    const check = this.#health.servedOn(port);
    // The listener is about to be closed.
    if (check === undefined) return text("no longer served\n", 503);
    const { status, headers, body } = healthAnswer(check, family, this.#options.isHealthy());
    return new Response(body, { status, headers });
  }
}

const NOWHERE: NodePortAddresses[Family] = { isAll: false, addresses: [] };

/**
 * Returns the addresses to listen on, and the family that each listener answers for. A listener on "::"
 * accepts IPv4 as well. It is used when both families are served on all addresses; otherwise each IPv6
 * address has its own listener.
 */
export function listenersOf(
  served: { has(family: Family): boolean },
  addresses: NodePortAddresses,
): ReadonlyMap<string, Family | "both"> {
  const own = FAMILIES.filter((family) => served.has(family));
  if (own.length > 1 && own.every((family) => addresses[family].isAll)) return new Map([["::", "both"]]);
  return new Map(own.flatMap((family): [string, Family][] => {
    if (family === "IPv4" && addresses[family].isAll) return [["0.0.0.0", family]];
    return addresses[family].addresses.filter(isBindable).map((
      address,
    ) => [formatAddress(address), family]);
  }));
}

/** Link-local IPv6 addresses cannot be listened on without naming their interface. */
function isBindable(address: Address): boolean {
  return familyOf(address) === "IPv4" || !isLinkLocal(address);
}

/** Family of a client. IPv4 clients of a listener on "::" have IPv4-mapped addresses. */
function familyOfPeer({ hostname }: { readonly hostname: string }): Family {
  const address = parseAddress(hostname);
  return address === undefined ? "IPv6" : familyOf(address);
}
