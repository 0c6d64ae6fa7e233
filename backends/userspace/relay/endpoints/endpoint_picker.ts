import type { AvoidedEndpoint, RelayedProtocol } from "../messages.ts";
import type { Service } from "../services/service_table.ts";
import { AffinityTable } from "./affinity_table.ts";
import { AvoidedEndpoints } from "./avoided_endpoints.ts";
import { endpointAt, offsetOf, PACKED_BYTES, unpackEndpoint } from "./packed_endpoints.ts";

/** Clients that affinity is remembered for, in all services. About 15 MB. */
const MAX_AFFINE_CLIENTS = 65_536;
/** Random attempts to find an endpoint that is not avoided, before all are searched. */
const RANDOM_ATTEMPTS = 4;
/**
 * Time without an ICMP error after which an endpoint counts as one that takes datagrams. Many never answer them, such as
 * receivers of logs.
 */
const UDP_SILENCE_MS = 250;

/** Chooses the endpoints of new connections and flows: at random, except for affinity and for endpoints that failed. */
export class EndpointPicker {
  readonly #affinity = new AffinityTable(MAX_AFFINE_CLIENTS);
  readonly #avoided: Readonly<Record<RelayedProtocol, AvoidedEndpoints>> = {
    TCP: new AvoidedEndpoints(),
    UDP: new AvoidedEndpoints(UDP_SILENCE_MS),
  };
  readonly #random: () => number;

  /** @param random returns a number from 0 to less than 1. */
  constructor(random: () => number = Math.random) {
    this.#random = random;
  }

  /**
   * Chooses an endpoint.
   * @param list packed endpoints of the service.
   * @param client address, one character per byte.
   * @param tried endpoints that are not to be chosen, as packed strings.
   * @param now milliseconds of any clock, the same for all calls.
   * @returns its offset in the list; -1 if there is none.
   */
  pick(service: Service, list: string, client: string, tried: readonly string[], now: number): number {
    const { affinitySeconds } = service.spec;
    if (affinitySeconds === 0) return this.#pickRandom(service, list, tried, now);
    const bytes = PACKED_BYTES[service.spec.family];
    const name = `${service.id} ${client}`;
    const last = this.#affinity.get(name, affinitySeconds, now);
    const offset = last === undefined || tried.includes(last) || this.#isAvoided(service, last, now)
      ? -1
      : offsetOf(list, last);
    const chosen = offset < 0 ? this.#pickRandom(service, list, tried, now) : offset;
    if (chosen >= 0) this.#affinity.set(name, endpointAt(list, chosen, bytes), now);
    return chosen;
  }

  /**
   * @param endpoint packed
   * @param began when the attempt to connect began, or when the datagram was sent
   */
  failed(service: Service, endpoint: string, began: number, now: number): void {
    this.#avoided[service.spec.protocol].failed(endpoint, began, now);
  }

  /** True if an endpoint has failed lately, so that `succeeded` must be called. */
  get hasFailures(): boolean {
    return this.#avoided.TCP.size + this.#avoided.UDP.size > 0;
  }

  /** @param endpoint packed */
  succeeded(service: Service, endpoint: string): void {
    this.#avoided[service.spec.protocol].succeeded(endpoint);
  }

  *avoided(now: number): Generator<AvoidedEndpoint> {
    for (const protocol of ["TCP", "UDP"] as const) {
      for (const [endpoint, remainingMs] of this.#avoided[protocol].list(now)) {
        yield { ...unpackEndpoint(endpoint), protocol, remainingMs };
      }
    }
  }

  #pickRandom(service: Service, list: string, tried: readonly string[], now: number): number {
    const bytes = PACKED_BYTES[service.spec.family];
    const count = list.length / bytes;
    if (count === 0) return -1;
    if (tried.length === 0 && this.#avoided[service.spec.protocol].size === 0) {
      return Math.floor(this.#random() * count) * bytes;
    }
    let avoided = -1;
    for (let attempt = 0; attempt < RANDOM_ATTEMPTS + count; attempt++) {
      // Random first, because the successor of an avoided endpoint would otherwise get a double share.
      const index = attempt < RANDOM_ATTEMPTS
        ? Math.floor(this.#random() * count)
        : attempt - RANDOM_ATTEMPTS;
      const endpoint = endpointAt(list, index * bytes, bytes);
      if (tried.includes(endpoint)) continue;
      if (!this.#isAvoided(service, endpoint, now)) return index * bytes;
      if (avoided < 0) avoided = index * bytes;
    }
    return avoided;
  }

  #isAvoided(service: Service, endpoint: string, now: number): boolean {
    const avoided = this.#avoided[service.spec.protocol];
    return avoided.size > 0 && avoided.isAvoided(endpoint, now);
  }
}
