import { BackendError } from "../../../core/backend/contract.ts";
import { BpfMap } from "../../../ffi/bpf/map.ts";
import { LAYOUT_VERSION } from "../maps/layout.ts";
import type { Capacity } from "../options.ts";

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

  make(): void {
    Deno.mkdirSync(`${this.directory}/maps`, { recursive: true, mode: 0o700 });
    Deno.mkdirSync(`${this.directory}/links`, { recursive: true, mode: 0o700 });
    this.#renameEarlierLinks();
  }

  /** @throws BackendError if the map is not pinned. */
  openMap(name: string): BpfMap {
    const map = BpfMap.pinned(name, this.map(name));
    if (map === undefined) throw new BackendError(`ebpf: BPF map ${this.map(name)} is gone`);
    return map;
  }

  /** Removes pins of other versions or capacities. */
  removeOthers(): void {
    for (const { name } of Deno.readDirSync(this.#root)) {
      if (name !== this.#name) Deno.removeSync(`${this.#root}/${name}`, { recursive: true });
    }
  }

  /** Removes all pins, which detaches programs and frees maps unless another process holds them open. */
  removeAll(): void {
    if (exists(this.#root)) Deno.removeSync(this.#root, { recursive: true });
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

function exists(path: string): boolean {
  try {
    Deno.lstatSync(path);
    return true;
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return false;
    throw error;
  }
}
