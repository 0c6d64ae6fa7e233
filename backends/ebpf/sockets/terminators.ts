import { yieldToEventLoop } from "../../../core/async/yield.ts";
import { BpfIterator } from "../../../ffi/bpf/iterator.ts";
import type { BpfMap } from "../../../ffi/bpf/map.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { inNetworkNamespace, networkNamespaces } from "../../../ffi/network_namespaces.ts";
import type { Pins } from "../programs/pins.ts";
import { loadOver, pinnedMap } from "../programs/objects.ts";
import type { Capacity } from "../options.ts";
import { type EndedProtocol, endFound } from "./sock_diag.ts";

/** How sockets whose endpoint is gone are found and ended. */
export interface WayToEnd extends Disposable {
  /**
   * Ends those that there are.
   * @param settled TCP: the last change of a service's endpoints, as a generation, that may end connections.
   * @returns how many.
   * @throws KernelError
   */
  end(protocol: EndedProtocol, settled: number): Promise<number>;
}

/** The better way that this kernel has, if it has one. */
export function wayToEndSockets(pins: Pins, capacity: Capacity): WayToEnd | undefined {
  for (const object of ["destroy", "find"] as const) {
    try {
      return new ByIterator(pins, capacity, object);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
  return undefined;
}

/**
 * By programs that look at every socket of every network namespace that can be found. Those of bpf/destroy.bpf.c end
 * them there and then; those of bpf/find.bpf.c only name them, and sock_diag is asked to end them.
 */
export class ByIterator implements WayToEnd {
  readonly #object: "destroy" | "find";
  readonly #iterators: Readonly<Record<EndedProtocol, BpfIterator>>;
  readonly #settled: BpfMap;
  readonly #owned: DisposableStack;

  /** @throws KernelError when the kernel does not take the programs. */
  constructor(pins: Pins, capacity: Capacity, object: "destroy" | "find") {
    this.#object = object;
    using stack = new DisposableStack();
    using loaded = loadOver(pins, capacity, object);
    using udp = loaded.program("udp");
    using tcp = loaded.program("tcp");
    this.#iterators = {
      UDP: stack.use(new BpfIterator("UDP sockets", udp)),
      TCP: stack.use(new BpfIterator("TCP sockets", tcp)),
    };
    this.#settled = stack.use(pinnedMap(pins, "settled_generation"));
    this.#owned = stack.move();
  }

  async end(protocol: EndedProtocol, settled: number): Promise<number> {
    this.#settled.update(onlyKey, new Uint8Array(Uint32Array.of(settled).buffer));
    let ended = 0;
    let turnStarted = performance.now();
    for (const namespace of networkNamespaces()) {
      const said = inNetworkNamespace(namespace, () => this.#iterators[protocol].run());
      if (said !== undefined && said.length > 0) {
        ended += this.#object === "destroy" ? said.length : await endFound(namespace, protocol, said);
      }
      if (performance.now() - turnStarted < TURN_MS) continue;
      await yieldToEventLoop();
      turnStarted = performance.now();
    }
    return ended;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

/** How long other work is kept waiting: for each namespace the kernel goes through the sockets of all. */
const TURN_MS = 4;

const onlyKey = new Uint8Array(4);
