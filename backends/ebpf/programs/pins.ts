import { BackendError, StillInUse } from "../../../core/backend/contract.ts";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { lockDirectory, lockHolder } from "../../../ffi/files/directory_lock.ts";
import { FIRST_CARRIED_LAYOUT, LAYOUT_VERSION } from "../maps/layout.ts";
import type { MapsOfVersion } from "../netfilter/hand_over.ts";
import type { Capacity } from "../options.ts";

/**
 * The maps of our programs, all of which are pinned. "state" is what the programs remember, and is carried over to
 * another version. "programmed" is what the proxy writes.
 */
export const PINNED_MAPS: ReadonlyMap<string, "state" | "programmed" | "scratch"> = new Map([
  ["affinity", "state"],
  ["claims", "scratch"],
  ["closed_flows", "state"],
  ["connections", "state"],
  ["conntrack", "state"],
  ["conntrack_new", "state"],
  ["conntrack_udp", "state"],
  ["counters", "state"],
  ["device_addresses", "programmed"],
  ["devices", "programmed"],
  ["drops", "state"],
  ["endpoints", "programmed"],
  ["flow_events", "state"],
  ["fragments", "state"],
  ["icmp_limit", "scratch"],
  ["icmp_limits", "scratch"],
  ["identity", "state"],
  ["node_addresses", "programmed"],
  ["node_settings", "programmed"],
  ["own_datagrams", "state"],
  ["owners", "state"],
  ["revisits", "state"],
  ["service_cidrs", "programmed"],
  ["services", "programmed"],
  ["settled_generation", "scratch"],
  ["socket_affinity", "state"],
  ["socket_peers", "state"],
  ["source_ranges", "programmed"],
  ["stack_tuples", "scratch"],
  ["workspaces", "scratch"],
]);

/** Maps that only earlier versions have. */
const FORMER_MAPS: ReadonlySet<string> = new Set(["peers", "socket_choices"]);

/**
 * The directory of pinned maps and links. Its name contains the layout and the capacities of the maps, so
 * that a start with others creates new maps beside the old ones. These are removed once the new ones are in
 * force.
 */
export class Pins {
  readonly #root: string;
  readonly #name: string;

  /** @param root directory of all pins of this mode. */
  constructor(root: string, capacity: Capacity) {
    this.#root = root;
    const { frontends, endpoints, connections, clients } = capacity;
    this.#name = `${LAYOUT_VERSION}-${frontends}-${endpoints}-${connections}-${clients}`;
  }

  get directory(): string {
    return `${this.#root}/${this.#name}`;
  }

  /** Path of a map. */
  map(name: string): string {
    return `${this.directory}/maps/${name}`;
  }

  /** Path of a link. */
  link(name: string): string {
    return `${this.directory}/links/${name}`;
  }

  get exists(): boolean {
    return exists(this.directory);
  }

  /** Reports whether the directory of links exists. */
  get hasLinkDirectory(): boolean {
    return exists(this.link("."));
  }

  /** Makes the directory that `lock` locks. */
  makeRoot(): void {
    Deno.mkdirSync(this.#root, { recursive: true, mode: 0o700 });
  }

  make(): void {
    Deno.mkdirSync(`${this.directory}/maps`, { recursive: true, mode: 0o700 });
    Deno.mkdirSync(`${this.directory}/links`, { recursive: true, mode: 0o700 });
    this.#renameEarlierLinks();
  }

  /**
   * Takes the lock of all our pins. The lock of the network namespace does not suffice, because network namespaces may
   * share a BPF file system.
   * @returns undefined if nothing is pinned.
   * @throws StillInUse if another process has it.
   */
  lock(): Disposable | undefined {
    if (!exists(this.#root)) return undefined;
    const lock = lockDirectory(this.#root);
    if (lock !== undefined) return lock;
    const pid = lockHolder(this.#root);
    throw new StillInUse(
      `ebpf: ${pid === undefined ? "a process in another container" : `process ${pid}`} uses the maps in ` +
        `${this.#root}: give each network namespace its own --ebpf-bpffs`,
    );
  }

  /** @throws BackendError if the map is not pinned. */
  openMap(name: string): BpfMap {
    const map = BpfMap.pinned(name, this.map(name));
    if (map === undefined) throw new BackendError(`ebpf: BPF map ${this.map(name)} is gone`);
    return map;
  }

  hasMap(name: string): boolean {
    return exists(this.map(name));
  }

  /** Other generations whose state can be carried over, the newest first. */
  earlier(): readonly Generation[] {
    return this.others()
      .map((directory) => ({
        directory,
        layout: Number.parseInt(directory.slice(this.#root.length + 1)),
        madeMs: Deno.statSync(directory).mtime?.getTime() ?? 0,
      }))
      .filter(({ layout }) => layout >= FIRST_CARRIED_LAYOUT)
      .sort((a, b) => b.madeMs - a.madeMs);
  }

  /** Opens a map of another generation; undefined if it is not pinned. */
  openMapOf({ directory }: Generation, name: string): BpfMap | undefined {
    return BpfMap.pinned(name, `${directory}/maps/${name}`);
  }

  /**
   * Moves links of sockets from other generations to ours, so that their programs are replaced atomically. Otherwise a
   * socket would run both.
   */
  adoptCgroupLinks(): void {
    for (const directory of this.others()) {
      if (!isDirectory(`${directory}/links`)) continue;
      for (const { name, isFile } of [...Deno.readDirSync(`${directory}/links`)]) {
        if (!isFile || !CGROUP_LINK.test(name) || exists(this.link(name))) continue;
        Deno.renameSync(`${directory}/links/${name}`, this.link(name));
      }
    }
  }

  /**
   * Opens maps of every version and capacity. Those that lack one of the maps are left out, and those of versions whose
   * members have another meaning.
   */
  *openAll<Name extends string>(names: readonly Name[]): Generator<MapsOfVersion<Name>> {
    if (!exists(this.#root)) return;
    for (const generation of generationsIn(this.#root)) {
      const layout = Number.parseInt(generation);
      if (layout < FIRST_CARRIED_LAYOUT) continue;
      using opened = new DisposableStack();
      const maps = new Map<Name, BpfMap>();
      for (const name of names) {
        const map = BpfMap.pinned(name, `${this.#root}/${generation}/maps/${name}`);
        if (map !== undefined) maps.set(name, opened.use(map));
      }
      if (maps.size < names.length) continue;
      yield {
        maps: Object.fromEntries(maps) as Record<Name, BpfMap>,
        isThisLayout: layout === LAYOUT_VERSION,
      };
    }
  }

  /** Directories of pins of other versions or capacities. */
  others(): readonly string[] {
    return this.all().filter((directory) => directory !== this.directory);
  }

  /** Directories of pins of every version and capacity. */
  all(): readonly string[] {
    if (!exists(this.#root)) return [];
    return generationsIn(this.#root).map((name) => `${this.#root}/${name}`);
  }

  /** Removes pins of other versions or capacities. */
  removeOthers(): void {
    for (const directory of this.others()) removeGeneration(directory);
  }

  /**
   * Removes all our pins, which detaches programs and frees maps unless another process holds them open. Everything
   * else below the root stays, and so do the directories that contain it.
   * @returns our directories that contain something else.
   */
  removeAll(): readonly string[] {
    if (!exists(this.#root)) return [];
    const kept = this.all().filter((directory) => !removeGeneration(directory));
    removeIfEmpty(this.#root);
    return kept;
  }

  /**
   * Renames pins of earlier versions, so that their links are updated. Otherwise each device would get two.
   */
  #renameEarlierLinks(): void {
    for (const { name } of Deno.readDirSync(this.link("."))) {
      const [, direction, index] = /^(arrive|leave)-(\d+)$/.exec(name) ?? [];
      if (index === undefined) continue;
      const newName = `${direction === "arrive" ? "ingress" : "egress"}-${index}`;
      Deno.renameSync(this.link(name), this.link(newName));
    }
  }
}

/** Maps and links of another layout or of other capacities. */
export interface Generation {
  readonly directory: string;
  readonly layout: number;
}

/** Directories of ours, of any version and capacity. Symbolic links do not count. */
function generationsIn(root: string): readonly string[] {
  return [...Deno.readDirSync(root)]
    .filter(({ name, isDirectory }) => isDirectory && GENERATION.test(name))
    .map(({ name }) => name);
}

/** The layout and four capacities, as the name of our directories. */
const GENERATION = /^\d+(-\d+){4}$/;

/** Pins of links of sockets. */
const CGROUP_LINK = /^(connect|sendmsg|recvmsg|getpeername)[46]$/;

/** Pins of links, with the names of earlier versions. */
const LINK = /^((connect|sendmsg|recvmsg|getpeername)[46]|(ingress|egress|arrive|leave)-\d+)$/;

/**
 * Removes our pins and directories of one generation. Links come first, so that no program runs without its maps.
 * @returns false if it contains something else, which stays.
 */
function removeGeneration(directory: string): boolean {
  removePins(`${directory}/links`, (name) => LINK.test(name));
  removePins(`${directory}/maps`, (name) => PINNED_MAPS.has(name) || FORMER_MAPS.has(name));
  return removeIfEmpty(directory);
}

function removePins(directory: string, isOurs: (name: string) => boolean): void {
  if (!isDirectory(directory)) return;
  for (const { name, isFile } of [...Deno.readDirSync(directory)]) {
    if (isFile && isOurs(name)) Deno.removeSync(`${directory}/${name}`);
  }
  removeIfEmpty(directory);
}

/** Removes a directory. @returns false if it is not empty, or is a mount point. */
function removeIfEmpty(directory: string): boolean {
  try {
    Deno.removeSync(directory);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return true;
    if ([...Deno.readDirSync(directory)].length > 0 || error instanceof Deno.errors.Busy) return false;
    throw error;
  }
}

function isDirectory(path: string): boolean {
  try {
    // lstat, because what a symbolic link leads to is not ours.
    return Deno.lstatSync(path).isDirectory;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
