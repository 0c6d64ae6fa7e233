import { yieldToEventLoop } from "../../../core/async/yield.ts";
import { BpfIterator } from "../../../ffi/bpf/iterator.ts";
import type { BpfMap } from "../../../ffi/bpf/map.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { inNetworkNamespace, networkNamespaces } from "../../../ffi/system/network_namespaces.ts";
import type { Capacity } from "../options.ts";
import { loadPinned } from "../programs/objects.ts";
import type { Pins } from "../programs/pins.ts";
import { destroySockets, type TerminableProtocol } from "./sock_diag.ts";

/** Finds and ends sockets whose endpoint is gone. */
export interface SocketTerminator extends Disposable {
  /**
   * Ends all stale sockets of a protocol.
   * @param settled TCP only: connections are ended for changes of endpoints up to this generation.
   * @throws KernelError
   */
  end(protocol: TerminableProtocol, settled: number): Promise<Sweep>;
}

export interface Sweep {
  /** Number of ended sockets. */
  readonly ended: number;
  /** Number of network namespaces that the process may not enter, so that no sockets were ended there. */
  readonly denied: number;
}

/** Opens the best terminator that the kernel supports; undefined if it supports none. */
export function openSocketTerminator(pins: Pins, capacity: Capacity): SocketTerminator | undefined {
  for (const object of ["destroy", "find"] as const) {
    try {
      return new IteratorTerminator(pins, capacity, object);
    } catch (error) {
      if (!(error instanceof KernelError)) throw error;
    }
  }
  return undefined;
}

/**
 * Runs BPF iterators over the sockets of all network namespaces that it finds. The programs of
 * bpf/destroy.bpf.c end stale sockets themselves. Those of bpf/find.bpf.c return them, and sock_diag ends
 * them.
 */
export class IteratorTerminator implements SocketTerminator {
  readonly #object: "destroy" | "find";
  readonly #iterators: Readonly<Record<TerminableProtocol, BpfIterator>>;
  readonly #settledGeneration: BpfMap;
  readonly #owned: DisposableStack;

  /** @throws KernelError if the kernel rejects the programs. */
  constructor(pins: Pins, capacity: Capacity, object: "destroy" | "find") {
    this.#object = object;
    using stack = new DisposableStack();
    using loaded = loadPinned(pins, capacity, object);
    using udp = loaded.program("udp");
    using tcp = loaded.program("tcp");
    this.#iterators = {
      UDP: stack.use(new BpfIterator("UDP sockets", udp)),
      TCP: stack.use(new BpfIterator("TCP sockets", tcp)),
    };
    this.#settledGeneration = stack.use(pins.openMap("settled_generation"));
    this.#owned = stack.move();
  }

  async end(protocol: TerminableProtocol, settled: number): Promise<Sweep> {
    this.#settledGeneration.update(ONLY_KEY, new Uint8Array(Uint32Array.of(settled).buffer));
    let ended = 0;
    let denied = 0;
    let startedMs = performance.now();
    for (const namespace of networkNamespaces()) {
      const visit = inNetworkNamespace(namespace, () => this.#iterators[protocol].run());
      if ("refused" in visit) {
        if (visit.refused === "denied") denied++;
        continue;
      }
      const output = visit.result;
      if (output.length > 0) {
        // bpf/destroy.bpf.c writes one byte per ended socket.
        ended += this.#object === "destroy"
          ? output.length
          : await destroySockets(namespace, protocol, output);
      }
      if (performance.now() - startedMs < MAX_BLOCKING_MS) continue;
      await yieldToEventLoop();
      startedMs = performance.now();
    }
    return { ended, denied };
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

/**
 * Maximum time without yielding. For each namespace, the kernel iterates over the sockets of all namespaces.
 */
const MAX_BLOCKING_MS = 4;

const ONLY_KEY = new Uint8Array(4);
