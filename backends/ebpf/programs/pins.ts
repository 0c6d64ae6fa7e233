import { LAYOUT_VERSION } from "../maps/layout.ts";
import type { Capacity } from "../options.ts";

/**
 * Where this mode's maps and links are pinned. The directory of maps has their layout and capacities in its name: a start
 * with others makes new ones beside the old, which go once the new are in force.
 */
export class Pins {
  readonly #generation: string;

  constructor(readonly root: string, capacity: Capacity) {
    const { frontends, endpoints, connections, clients } = capacity;
    this.#generation = `${LAYOUT_VERSION}-${frontends}-${endpoints}-${connections}-${clients}`;
  }

  get directory(): string {
    return `${this.root}/${this.#generation}`;
  }

  map(name: string): string {
    return `${this.directory}/maps/${name}`;
  }

  link(name: string): string {
    return `${this.directory}/links/${name}`;
  }

  get exists(): boolean {
    return exists(this.directory);
  }

  /** Whether links can be pinned. */
  get takesLinks(): boolean {
    return exists(this.link("."));
  }

  make(): void {
    Deno.mkdirSync(`${this.directory}/maps`, { recursive: true, mode: 0o700 });
    Deno.mkdirSync(`${this.directory}/links`, { recursive: true, mode: 0o700 });
    this.#renameEarlierLinks();
  }

  /** Renames pins of earlier versions, so that their links are updated. Otherwise each device would get two. */
  #renameEarlierLinks(): void {
    for (const { name } of Deno.readDirSync(this.link("."))) {
      const [, direction, index] = /^(arrive|leave)-(\d+)$/.exec(name) ?? [];
      if (index === undefined) continue;
      Deno.renameSync(
        this.link(name),
        this.link(`${direction === "arrive" ? "ingress" : "egress"}-${index}`),
      );
    }
  }

  /** Removes what other versions of this mode left. */
  removeOthers(): void {
    for (const { name } of Deno.readDirSync(this.root)) {
      if (name !== this.#generation) Deno.removeSync(`${this.root}/${name}`, { recursive: true });
    }
  }

  /** Removes everything: programs are detached and maps are freed, unless somebody else holds them. */
  removeAll(): void {
    if (exists(this.root)) Deno.removeSync(this.root, { recursive: true });
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
