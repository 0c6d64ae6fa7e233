import type { Log } from "../../observe/log.ts";
import { API_TIMING, type ApiTiming } from "./timing.ts";
import type { ClusterAccess } from "../access/cluster_access.ts";
import { checkConnection } from "./connection_check.ts";
import { Credentials } from "../access/credentials.ts";
import { EventSender } from "./events.ts";
import { Reflector, type WatchObserver } from "./reflector.ts";
import { type Resource, watchedResources, type WatchOptions } from "./resources.ts";
import type { NodeEvent, ServiceWarning, Sink, Source } from "../../source.ts";
import { type RequestObserver, Transport } from "./transport.ts";

export interface ApiOptions extends WatchOptions {
  readonly access: ClusterAccess;
  /** Sent as User-Agent: "proxy/0.1.0". */
  readonly userAgent: string;
  readonly log: Log;
  readonly timing?: ApiTiming;
  readonly requests?: RequestObserver;
  readonly watches?: WatchObserver;
}

/** Objects from the Kubernetes API, by list and watch. Retries forever; an outage of the server removes no object. */
export class ApiSource implements Source {
  #reflectors: readonly Reflector[] = [];
  #events: EventSender | undefined;
  #resources: readonly Resource[] = [];
  /** Collections that have not been listed since the last `reload`. */
  #notReloaded = new Set<Resource>();
  #reloaded: PromiseWithResolvers<void> | undefined;

  readonly #options: ApiOptions;

  constructor(options: ApiOptions) {
    this.#options = options;
  }

  async run(sink: Sink, signal: AbortSignal): Promise<void> {
    const { access, userAgent, log, timing = API_TIMING, requests, watches } = this.#options;
    using credentials = new Credentials(access, log, timing);
    using transport = new Transport({
      access,
      credentials,
      userAgent,
      ...(requests === undefined ? {} : { observer: requests }),
    });
    const events = new EventSender({ transport, nodeName: this.#options.nodeName, timing, log });
    this.#events = events;
    const resources = watchedResources(this.#options);
    this.#resources = resources;
    const notListed = new Set(resources);
    const contact = new ContactReport(resources, access.server.host, sink, log);
    this.#reflectors = resources.map((resource) =>
      new Reflector({
        resource,
        transport,
        sink,
        timing,
        log,
        listed: () => {
          if (notListed.delete(resource) && notListed.size === 0) sink.synced();
          this.#listed(resource);
        },
        contact: (problem) => contact.note(resource, problem),
        unauthorized: () => credentials.rejected(),
        ...(watches === undefined ? {} : { observer: watches }),
      })
    );
    const lost = () => {
      log.info(`API server ${access.server.host}: the connection does not respond; opening a new one`);
      for (const reflector of this.#reflectors) reflector.reconnect();
    };
    await Promise.all([
      ...this.#reflectors.map((reflector) => reflector.run(signal)),
      checkConnection({ transport, timing, lost }, signal),
      events.run(signal),
    ]);
  }

  async reload(): Promise<void> {
    if (this.#reflectors.length === 0) return;
    this.#notReloaded = new Set(this.#resources);
    this.#reloaded ??= Promise.withResolvers();
    for (const reflector of this.#reflectors) reflector.relist();
    await this.#reloaded.promise;
  }

  #listed(resource: Resource): void {
    if (!this.#notReloaded.delete(resource) || this.#notReloaded.size > 0) return;
    this.#reloaded?.resolve();
    this.#reloaded = undefined;
  }

  warn(warning: ServiceWarning): void {
    this.#events?.send(warning);
  }

  tell(event: NodeEvent): void {
    this.#events?.sendAboutNode(event);
  }
}

/** Tells the sink whether all required collections can be reached, once per change. */
class ContactReport {
  readonly #problems = new Map<Resource, string | undefined>();
  readonly #required: readonly Resource[];
  #reported: { readonly problem: string | undefined } | undefined;

  readonly #server: string;
  readonly #sink: Sink;
  readonly #log: Log;

  constructor(resources: readonly Resource[], server: string, sink: Sink, log: Log) {
    this.#server = server;
    this.#sink = sink;
    this.#log = log;
    this.#required = resources.filter((resource) => resource.isRequired);
  }

  note(resource: Resource, problem: string | undefined): void {
    const isKnown = this.#problems.has(resource) && this.#problems.get(resource) === problem;
    if (isKnown) return;
    this.#problems.set(resource, problem);
    if (problem !== undefined) this.#log.warn(`API server ${this.#server}: ${problem}; retrying`);
    const isIncomplete = this.#required.some((one) => !this.#problems.has(one));
    const first = this.#required.map((one) => this.#problems.get(one)).find((one) => one !== undefined);
    if (first === undefined && isIncomplete) return;
    if (this.#reported !== undefined && this.#reported.problem === first) return;
    if (first === undefined) this.#log.info(`API server ${this.#server}: connected`);
    this.#reported = { problem: first };
    this.#sink.connected(first);
  }
}
