import type { Endpoint, ServicePortPlan } from "../../core/model/plan.ts";
import { describeFrontend } from "../../core/model/plan_key.ts";
import { BpfIterator } from "../../ffi/bpf/iterator.ts";
import type { BpfMap } from "../../ffi/bpf/map.ts";
import { KernelError } from "../../ffi/errors.ts";
import { inNetworkNamespace, networkNamespaces } from "../../ffi/network_namespaces.ts";
import type { PlanChange } from "../backend.ts";
import type { Pins } from "./bpffs.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { loadOver, pinnedMap } from "./objects.ts";
import type { Room } from "./options.ts";
import { isStranded, type PeerMaps } from "./reached_by.ts";
import { endSockets } from "./socket_diag.ts";

/** Changes come in bursts, and going through all namespaces takes some milliseconds. */
const SETTLE_MS = 50;

/**
 * Ends connected UDP sockets whose endpoint is gone, in every network namespace that can be found. Which those are is
 * seen from the maps and the sockets, so nothing has to be remembered here.
 */
export class StaleSockets implements Disposable {
  readonly #way: WayToEnd;
  #waiting: number | undefined;
  /** Sockets that were ended, and how often that went wrong: nothing depends on it, so nobody is called. */
  ended = 0;
  failures = 0;

  constructor(way: WayToEnd) {
    this.#way = way;
  }

  /** Ends them soon. */
  schedule(): void {
    if (this.#waiting !== undefined) return;
    this.#waiting = setTimeout(async () => {
      this.#waiting = undefined;
      try {
        this.ended += await this.#way.end();
      } catch {
        this.failures++;
      }
    }, SETTLE_MS);
    // The process need not stay for this: the next one begins with it.
    Deno.unrefTimer(this.#waiting);
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#waiting);
    this.#way[Symbol.dispose]();
  }
}

export interface WayToEnd extends Disposable {
  /** Ends those that there are; returns how many. */
  end(): Promise<number>;
}

/** The better way that this kernel has. */
export function wayToEndSockets(pins: Pins, room: Room, maps: KernelMaps): WayToEnd {
  try {
    return new ByIterator(pins, room);
  } catch (error) {
    if (error instanceof KernelError) return new BySocketDiag(pinnedMap(pins, "peers"), maps);
    throw error;
  }
}

/** By a program that looks at every socket, bpf/destroy.bpf.c. Since Linux 6.5. */
class ByIterator implements WayToEnd {
  readonly #iterator: BpfIterator;

  constructor(pins: Pins, room: Room) {
    using object = loadOver(pins, room, "destroy");
    using program = object.program("end_udp");
    this.#iterator = new BpfIterator("UDP sockets", program);
  }

  end(): Promise<number> {
    let ended = 0;
    for (const path of networkNamespaces()) {
      ended += inNetworkNamespace(path, () => this.#iterator.run()) ?? 0;
    }
    return Promise.resolve(ended);
  }

  [Symbol.dispose](): void {
    this.#iterator[Symbol.dispose]();
  }
}

/** By asking sock_diag for the sockets, and to end some. What the oldest of very many connected to may be forgotten. */
export class BySocketDiag implements WayToEnd {
  readonly #maps: PeerMaps;
  readonly #peers: BpfMap;

  /** @param peers is disposed of with this. */
  constructor(peers: BpfMap, maps: Omit<PeerMaps, "peers">) {
    this.#maps = { ...maps, peers };
    this.#peers = peers;
  }

  end(): Promise<number> {
    return endSockets((socket) => isStranded(this.#maps, socket));
  }

  [Symbol.dispose](): void {
    this.#peers[Symbol.dispose]();
  }
}

/** Whether a change takes an endpoint from sockets that may be connected to it. */
export function strandsSockets({ old, new: next }: PlanChange): boolean {
  if (old?.protocol !== "UDP") return false;
  if (next === undefined) return true;
  const endpoints = new Set(endpointsOf(next).map(nameOf));
  const frontends = new Set(next.frontends.map((frontend) => describeFrontend(frontend, next.protocol)));
  return endpointsOf(old).some((endpoint) => !endpoints.has(nameOf(endpoint))) ||
    old.frontends.some((frontend) => !frontends.has(describeFrontend(frontend, old.protocol)));
}

function endpointsOf(plan: ServicePortPlan): readonly Endpoint[] {
  return [...plan.clusterEndpoints, ...plan.localEndpoints, ...plan.servingEndpoints];
}

function nameOf({ address, port }: Endpoint): string {
  return `${address}:${port}`;
}
