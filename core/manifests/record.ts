import { fingerprint } from "../objects/parse/fingerprint.ts";
import type { Log } from "../observe/log.ts";
import { isMapping } from "../objects/parse/fields.ts";

/**
 * Remembers from one process to the next which objects the files of a directory have in force, so that a start knows
 * which of them it misses. A record is valid in one network namespace until the next boot, like the rules. Keeps names
 * only: whole objects could be hundreds of megabytes, and the kernel still has what is in force.
 */
export class ManifestRecord {
  readonly #directory: string;
  readonly #folder: string;
  readonly #path: string;
  readonly #log: Log;
  #warned = false;

  constructor(directory: string, folder: string, log: Log) {
    this.#directory = directory;
    this.#folder = folder;
    this.#path = `${folder}/manifests-${fingerprint(directory).toString(16)}.json`;
    this.#log = log;
  }

  /** Returns the names by the path of their file: "a.yaml" → ["Service default/web"]; nothing without a record. */
  read(): Map<string, readonly string[]> {
    try {
      const record: unknown = JSON.parse(Deno.readTextFileSync(this.#path));
      if (!isMapping(record) || !isMapping(record["files"])) return new Map();
      if (record["directory"] !== this.#directory || record["kernel"] !== kernelState()) return new Map();
      return new Map(Object.entries(record["files"]).map(([path, names]) => [path, textsOf(names)]));
    } catch (error) {
      if (!(error instanceof Deno.errors.NotFound)) this.#warn("read", error);
      return new Map();
    }
  }

  /** Replaces the record. A failure is logged once: the proxy works without a record. */
  write(files: Iterable<readonly [path: string, names: Iterable<string>]>): void {
    try {
      Deno.mkdirSync(this.#folder, { recursive: true });
      const names = Object.fromEntries([...files].map(([path, names]) => [path, [...names]]));
      const next = `${this.#path}.new`;
      Deno.writeTextFileSync(
        next,
        JSON.stringify({ directory: this.#directory, kernel: kernelState(), files: names }),
      );
      Deno.renameSync(next, this.#path);
    } catch (error) {
      this.#warn("written", error);
    }
  }

  #warn(what: string, error: unknown): void {
    if (this.#warned) return;
    this.#warned = true;
    this.#log.warn(
      `${this.#path} cannot be ${what} (${error instanceof Error ? error.message : error}); ` +
        "a restart removes the services of a manifest that is broken at that time. " +
        `Make ${this.#folder} writable (systemd: RuntimeDirectory= and RuntimeDirectoryPreserve=yes)`,
    );
  }
}

function textsOf(value: unknown): string[] {
  return Array.isArray(value) ? value.filter((one) => typeof one === "string") : [];
}

/** Identifies the kernel's rules: the boot and the network namespace. */
function kernelState(): string {
  return `${Deno.readTextFileSync("/proc/sys/kernel/random/boot_id").trim()} ${
    Deno.readLinkSync("/proc/self/ns/net")
  }`;
}
