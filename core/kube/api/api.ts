import type { Log } from "../../observe/log.ts";
import { type ApiTiming, apiTiming } from "./timing.ts";
import type { ClusterAccess } from "../access/cluster_access.ts";
import { checkConnection } from "./connection_check.ts";
import { Credentials } from "../access/credentials.ts";
import { Reflector } from "./reflector.ts";
import { type Resource, watchedResources } from "./resources.ts";
import type { Sink, Source } from "../../source.ts";
import { Transport } from "./transport.ts";

export interface ApiOptions {
  readonly access: ClusterAccess;
  /** The own Node; "" to watch none. */
  readonly nodeName: string;
  /** Sent as User-Agent: "proxy/0.1.0". */
  readonly userAgent: string;
  readonly log: Log;
  readonly timing?: ApiTiming;
}

/** Objects from the Kubernetes API, by list and watch. It never gives up: while the server is away, all stays. */
export class ApiSource implements Source {
  #reflectors: readonly Reflector[] = [];

  constructor(private readonly options: ApiOptions) {}

  async run(sink: Sink, signal: AbortSignal): Promise<void> {
    const { access, userAgent, log, timing = apiTiming } = this.options;
    const credentials = new Credentials(access);
    using transport = new Transport(access, credentials, userAgent);
    const resources = watchedResources(this.options.nodeName);
    const awaited = new Set(resources);
    const contacts = new Contacts(resources, access.server.host, sink, log);
    this.#reflectors = resources.map((resource) =>
      new Reflector({
        resource,
        transport,
        sink,
        timing,
        log,
        listed: () => {
          if (awaited.delete(resource) && awaited.size === 0) sink.synced();
        },
        contact: (problem) => contacts.note(resource, problem),
        unauthorized: () => credentials.rejected(),
      })
    );
    const lost = () => {
      log.info(`API server ${access.server.host}: the connection went silent; making a new one`);
      for (const reflector of this.#reflectors) reflector.reconnect();
    };
    await Promise.all([
      ...this.#reflectors.map((reflector) => reflector.run(signal)),
      checkConnection({ transport, timing, lost }, signal),
    ]);
  }

  reload(): void {
    for (const reflector of this.#reflectors) reflector.relist();
  }
}

/** Whether all required collections can be reached, told once a change. */
class Contacts {
  readonly #problems = new Map<Resource, string | undefined>();
  readonly #required: readonly Resource[];
  #told: { readonly problem: string | undefined } | undefined;

  constructor(
    resources: readonly Resource[],
    private readonly server: string,
    private readonly sink: Sink,
    private readonly log: Log,
  ) {
    this.#required = resources.filter((resource) => resource.isRequired);
  }

  note(resource: Resource, problem: string | undefined): void {
    const isKnown = this.#problems.has(resource) && this.#problems.get(resource) === problem;
    if (isKnown) return;
    this.#problems.set(resource, problem);
    if (problem !== undefined) this.log.warn(`API server ${this.server}: ${problem}; trying again`);
    const unheard = this.#required.some((one) => !this.#problems.has(one));
    const first = this.#required.map((one) => this.#problems.get(one)).find((one) => one !== undefined);
    if (first === undefined && unheard) return;
    if (this.#told !== undefined && this.#told.problem === first) return;
    if (first === undefined) this.log.info(`API server ${this.server}: connected`);
    this.#told = { problem: first };
    this.sink.connected(first);
  }
}
