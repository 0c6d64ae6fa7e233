import type { Endpoint, ServicePortPlan } from "../../core/model/plan.ts";
import { describeFrontend } from "../../core/model/plan_key.ts";
import { BpfIterator } from "../../ffi/bpf/iterator.ts";
import { inNetworkNamespace, networkNamespaces } from "../../ffi/network_namespaces.ts";
import type { PlanChange } from "../backend.ts";
import type { Pins } from "./bpffs.ts";
import { loadOver } from "./objects.ts";
import type { Room } from "./options.ts";

/** Changes come in bursts, and going through all namespaces takes some milliseconds. */
const SETTLE_MS = 50;

/**
 * Ends connected UDP sockets whose endpoint is gone (bpf/destroy.bpf.c), in every network namespace that can be found.
 * Which those are the program sees for itself, so nothing has to be remembered here.
 */
export class StaleSockets implements Disposable {
  readonly #iterator: BpfIterator;
  #waiting: number | undefined;

  /** @throws KernelError where the kernel cannot: before Linux 6.5. */
  constructor(pins: Pins, room: Room) {
    using object = loadOver(pins, room, "destroy");
    using program = object.program("end_udp");
    this.#iterator = new BpfIterator("UDP sockets", program);
  }

  /** Ends them soon. */
  schedule(): void {
    this.#waiting ??= setTimeout(() => {
      this.#waiting = undefined;
      this.end();
    }, SETTLE_MS);
    // The process need not stay for this: the next one begins with it.
    Deno.unrefTimer(this.#waiting);
  }

  /** Ends them now; returns how many there were. */
  end(): number {
    let ended = 0;
    for (const path of networkNamespaces()) {
      ended += inNetworkNamespace(path, () => this.#iterator.run()) ?? 0;
    }
    return ended;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#waiting);
    this.#iterator[Symbol.dispose]();
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
