import { type Address, parseAddress } from "../net/address.ts";
import { isMapping } from "../objects/parse/fields.ts";

/** A pod that is the client of a question. */
export interface PodName {
  readonly namespace: string;
  readonly name: string;
}

export interface FoundPod {
  /** At most one of each family. */
  readonly addresses: readonly Address[];
  /** "" if it is not known. */
  readonly node: string;
}

const POD = /^pod\/(?:([a-z0-9](?:[-a-z0-9]*[a-z0-9])?)\/)?([a-z0-9](?:[-.a-z0-9]*[a-z0-9])?)$/;

/**
 * Parses `pod/NAMESPACE/NAME`, or `pod/NAME`.
 * @param namespace the one that a text without a namespace means; "" for none.
 * @returns undefined if the text is no pod.
 */
export function parsePodName(text: string, namespace: string): PodName | undefined {
  const [, own = namespace, name] = POD.exec(text) ?? [];
  return name === undefined || own === "" ? undefined : { namespace: own, name };
}

export function describePod({ namespace, name }: PodName): string {
  return `pod/${namespace}/${name}`;
}

/** Finds a pod in objects as they are read: in EndpointSlices, whose endpoints name it, or the Pod itself. */
export class PodSearch {
  readonly wanted: PodName;
  readonly #addresses = new Set<Address>();
  #node = "";

  constructor(wanted: PodName) {
    this.wanted = wanted;
  }

  /** @param raw a decoded object. */
  read(raw: unknown): void {
    if (!isMapping(raw)) return;
    if (Array.isArray(raw.endpoints)) {
      for (const endpoint of raw.endpoints) this.#readEndpoint(endpoint);
    } else if (raw.kind === "Pod" && this.#isWanted(raw.metadata)) {
      this.#readPod(raw);
    }
  }

  /** The pod; undefined if no object names it with an address. */
  get found(): FoundPod | undefined {
    return this.#addresses.size === 0 ? undefined : { addresses: [...this.#addresses], node: this.#node };
  }

  #readEndpoint(endpoint: unknown): void {
    if (!isMapping(endpoint) || !isMapping(endpoint.targetRef)) return;
    const { targetRef, addresses, nodeName } = endpoint;
    if (targetRef.kind !== "Pod" || !this.#isWanted(targetRef)) return;
    if (typeof nodeName === "string") this.#node = nodeName;
    for (const address of Array.isArray(addresses) ? addresses : []) this.#add(address);
  }

  #readPod({ spec, status }: Readonly<Record<string, unknown>>): void {
    if (isMapping(spec) && typeof spec.nodeName === "string") this.#node = spec.nodeName;
    if (!isMapping(status)) return;
    this.#add(status.podIP);
    for (const one of Array.isArray(status.podIPs) ? status.podIPs : []) {
      if (isMapping(one)) this.#add(one.ip);
    }
  }

  #isWanted(reference: unknown): boolean {
    return isMapping(reference) && reference.namespace === this.wanted.namespace &&
      reference.name === this.wanted.name;
  }

  #add(text: unknown): void {
    const address = typeof text === "string" ? parseAddress(text) : undefined;
    if (address !== undefined) this.#addresses.add(address);
  }
}
