import { BPF_LINK_TYPE, BpfLink } from "../../../ffi/bpf/link.ts";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { BpfProgram } from "../../../ffi/bpf/program.ts";
import { OFFSET, viewOf } from "../maps/layout.ts";
import { SOCKET_PROGRAMS } from "./cgroup_links.ts";
import { PINNED_MAPS } from "./pins.ts";
import { PACKET_PROGRAMS } from "./tc_attach.ts";

/**
 * Our programs as the kernel knows them. They go on working without the proxy, also where their pins are not in reach: in
 * a container without the node's BPF file system, or with another --ebpf-bpffs. Asking takes CAP_SYS_ADMIN.
 */
export class ProgramsInKernel {
  /** The kernel's numbers for the maps of our programs. */
  readonly #mapIds = new Set<number>();
  /** The maps of each program that reads `node_settings`. */
  readonly #mapIdsByName: ReadonlyMap<string, number>[] = [];

  /**
   * @param namespace cookie of the network namespace. Programs of proxies in other ones are not considered.
   * @throws KernelError
   */
  constructor(namespace: bigint) {
    for (const program of BpfProgram.all()) {
      using _program = program;
      if (!PROGRAM_NAMES.has(program.name)) continue;
      const ids = mapIdsByName(program, namespace);
      if (ids === undefined) continue;
      this.#mapIdsByName.push(ids);
      for (const id of ids.values()) this.#mapIds.add(id);
    }
  }

  /**
   * Opens the links that attach our programs. The caller disposes of each.
   * @throws KernelError
   */
  *links(): Generator<BpfLink> {
    if (this.#mapIds.size === 0) return;
    for (const link of BpfLink.all()) {
      if (this.#attachesOurs(link)) yield link;
      else link[Symbol.dispose]();
    }
  }

  /** Opens each set of maps that a program of ours uses and that has all these names. */
  *maps<Name extends string>(names: readonly Name[]): Generator<Readonly<Record<Name, BpfMap>>> {
    const seen = new Set<number>();
    for (const ids of this.#mapIdsByName) {
      using opened = new DisposableStack();
      const maps = new Map<Name, BpfMap>();
      for (const name of names) {
        const map = BpfMap.byId(ids.get(name) ?? 0);
        if (map !== undefined) maps.set(name, opened.use(map));
      }
      const settings = ids.get("node_settings") ?? 0;
      if (maps.size < names.length || seen.has(settings)) continue;
      seen.add(settings);
      yield Object.fromEntries(maps) as Record<Name, BpfMap>;
    }
  }

  #attachesOurs(link: BpfLink): boolean {
    const { type, programId, cgroupId, ifindex } = link.info();
    const isAttached = (type === BPF_LINK_TYPE.CGROUP && cgroupId !== 0n) ||
      (type === BPF_LINK_TYPE.TCX && ifindex !== 0);
    if (!isAttached) return false;
    using program = BpfProgram.byId(programId);
    // Not all of our programs read `node_settings`, but each shares a map with one that does.
    return program !== undefined && PROGRAM_NAMES.has(program.name) &&
      program.mapIds(MAX_MAPS).some((id) => this.#mapIds.has(id));
  }
}

/** @returns the maps with our names; undefined unless `node_settings` is one of them, and is of the network namespace. */
function mapIdsByName(program: BpfProgram, namespace: bigint): ReadonlyMap<string, number> | undefined {
  const ids = new Map<string, number>();
  let isOurs = false;
  for (const id of program.mapIds(MAX_MAPS)) {
    using map = BpfMap.byId(id);
    if (map === undefined || !PINNED_MAPS.has(map.name)) continue;
    ids.set(map.name, id);
    if (map.name === "node_settings") isOurs = isOfNamespace(map, namespace);
  }
  return isOurs ? ids : undefined;
}

/** Reads the cookie, with which `node_settings` begins in every version. Another program may have a map of this name. */
function isOfNamespace(settings: BpfMap, namespace: bigint): boolean {
  const { keySize, valueSize } = settings.shape;
  if (keySize !== 4 || valueSize < OFFSET.settings.namespace + 8) return false;
  const bytes = new Uint8Array(valueSize);
  return settings.lookup(new Uint8Array(keySize), bytes) &&
    viewOf(bytes).getBigUint64(OFFSET.settings.namespace, true) === namespace;
}

const PROGRAM_NAMES: ReadonlySet<string> = new Set([...SOCKET_PROGRAMS, ...PACKET_PROGRAMS]);

/** More than any of our programs uses. */
const MAX_MAPS = 64;
