import { fingerprint } from "../objects/parse/fingerprint.ts";
import type { Log } from "../observe/log.ts";
import { isMapping } from "../objects/parse/fields.ts";

/** Returns the folder that systemd makes for a unit with RuntimeDirectory=, or else our own. */
export function recordFolder(): string {
  return Deno.env.get("RUNTIME_DIRECTORY")?.split(":", 1)[0] || "/run/proxy";
}

/** Forgets all directories, because the rules have been removed. Records of other network namespaces stay. */
export function forgetRecords(folder: string): void {
  try {
    for (const { name } of Deno.readDirSync(folder)) {
      const path = `${folder}/${name}`;
      if (NAME.test(name) && parseRecord(Deno.readTextFileSync(path)) !== undefined) Deno.removeSync(path);
    }
  } catch {
    // Without the folder there are no records. A record that stays makes the next start more careful, nothing else.
  }
}

const NAME = /^manifests-[0-9a-f]+\.json$/;

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
      const record = parseRecord(Deno.readTextFileSync(this.#path));
      return record?.directory === this.#directory ? record.files : new Map();
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

interface RecordedDirectory {
  readonly directory: unknown;
  readonly files: Map<string, readonly string[]>;
}

/**
 * @returns undefined when the record belongs to other rules
 * @throws SyntaxError
 */
function parseRecord(text: string): RecordedDirectory | undefined {
  const record: unknown = JSON.parse(text);
  if (!isMapping(record) || !isMapping(record["files"]) || record["kernel"] !== kernelState()) {
    return undefined;
  }
  const files = Object.entries(record["files"]).map(([path, names]) => [path, textsOf(names)] as const);
  return { directory: record["directory"], files: new Map(files) };
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
