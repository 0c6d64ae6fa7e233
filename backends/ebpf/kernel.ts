import { BpfMap, type MappedValues } from "../../ffi/bpf/map.ts";
import type { BpfProgram } from "../../ffi/bpf/program.ts";
import type { Pins } from "./bpffs.ts";
import type { KernelMaps } from "./kernel_maps.ts";
import { loadOver, pinnedMap } from "./objects.ts";
import type { EbpfOptions } from "./options.ts";
import { attachToCgroup, detached, type SocketProgram, socketPrograms } from "./socket_links.ts";

const mapNames = [
  "services",
  "node_addresses",
  "source_ranges",
  "service_cidrs",
  "counters",
  "drops",
  "node_settings",
] as const;

/** The maps and programs of this process in the kernel; maps are those that are pinned, programs are its own. */
export class Kernel implements Disposable {
  readonly maps: KernelMaps;
  /** Whether maps of a process before this one were found. */
  readonly tookOver: boolean;
  readonly #pins: Pins;
  readonly #cgroup: string;
  readonly #owned: DisposableStack;
  readonly #programs: ReadonlyMap<SocketProgram, BpfProgram>;

  private constructor(
    pins: Pins,
    cgroup: string,
    tookOver: boolean,
    parts: {
      readonly maps: KernelMaps;
      readonly programs: ReadonlyMap<SocketProgram, BpfProgram>;
      readonly owned: DisposableStack;
    },
  ) {
    this.#pins = pins;
    this.#cgroup = cgroup;
    this.tookOver = tookOver;
    this.maps = parts.maps;
    this.#programs = parts.programs;
    this.#owned = parts.owned;
  }

  /**
   * Loads the programs over the maps that are pinned. Nothing is attached yet.
   * @throws KernelError
   */
  static open(options: EbpfOptions, cgroup: string, pins: Pins): Kernel {
    const tookOver = pins.exists;
    pins.make();
    using stack = new DisposableStack();
    const programs = new Map<SocketProgram, BpfProgram>();
    {
      using object = loadOver(pins, options.room, "sock");
      for (const name of socketPrograms) programs.set(name, stack.use(object.program(name)));
    }
    const maps = openMaps(pins, stack);
    return new Kernel(pins, cgroup, tookOver, { maps, programs, owned: stack.move() });
  }

  /** Whether what is pinned is still what was opened. */
  get isWhole(): boolean {
    return [...mapNames, "endpoints"].every((name) => {
      using map = BpfMap.pinned(name, this.#pins.map(name));
      return map !== undefined;
    });
  }

  /** Puts the programs in force; returns what was not attached, in words. */
  attach(): readonly string[] {
    return attachToCgroup(this.#programs, this.#cgroup, this.#pins);
  }

  /** What is not attached any more, in words; "" for nothing. */
  missing(): string {
    const names = detached(this.#cgroup, this.#pins);
    return names.length === 0 ? "" : `programs ${names.join(", ")} are not attached to ${this.#cgroup}`;
  }

  [Symbol.dispose](): void {
    this.#owned[Symbol.dispose]();
  }
}

function openMaps(pins: Pins, stack: DisposableStack): KernelMaps {
  const open = (name: string) => stack.use(pinnedMap(pins, name));
  const endpoints: MappedValues = stack.use(open("endpoints").mapped());
  return {
    services: open("services"),
    endpoints: endpoints.view,
    node_addresses: open("node_addresses"),
    source_ranges: open("source_ranges"),
    service_cidrs: open("service_cidrs"),
    counters: open("counters"),
    drops: open("drops"),
    node_settings: open("node_settings"),
  };
}
