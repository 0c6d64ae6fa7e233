import { resolve } from "node:path";
import type { Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";
import { DirectoryWatch } from "./directory_watch.ts";
import { ManifestClaims } from "./file_claims.ts";
import type { FileContents } from "./file_claims.ts";
import { directoryIdentity, type FileStamp, findManifests, type ManifestFiles } from "./files.ts";
import { ManifestReader } from "./reader.ts";
import type { Sink, Source } from "../source.ts";

export interface ManifestOptions {
  /** Directory with *.yaml, *.yml and *.json files, also in subdirectories that are not hidden. */
  readonly directory: string;
  readonly log: Log;
}

/**
 * Objects from a watched directory of manifests. A file that cannot be parsed keeps its last valid version in force, and
 * so does an invalid object. If two files define an object, the first one in path order is used. When the directory
 * itself disappears, everything stays in force until it is back.
 */
export class ManifestSource implements Source {
  readonly #directory: string;
  readonly #reader: ManifestReader;
  readonly #claims: ManifestClaims;
  readonly #log: Log;
  readonly #stamps = new Map<string, FileStamp>();
  #refresh: ((named: ReadonlySet<string>, everything: boolean) => void) | undefined;

  constructor(options: ManifestOptions) {
    this.#directory = resolve(options.directory);
    this.#log = options.log;
    this.#reader = new ManifestReader(options.log);
    this.#claims = new ManifestClaims(options.log);
  }

  /** @throws UserError when the directory does not exist at the start */
  run(sink: Sink, signal: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<void>();
    const identity = directoryIdentity(this.#directory);
    if (identity === undefined) {
      return Promise.reject(
        new UserError(
          `--manifests ${this.#directory}: no such directory; create it, or give the directory with the manifests`,
        ),
      );
    }
    const watch = new DirectoryWatch(this.#directory, this.#log, (paths) => this.#refresh?.(paths, false));
    let problem: string | undefined;
    this.#refresh = (named, everything) => {
      const before = problem;
      problem = this.#read(watch, named, everything, sink);
      if (problem === before) return;
      if (problem !== undefined) this.#log.warn(`${problem}; the objects read before stay in force`);
      else this.#log.info(`manifest directory ${this.#directory} is readable again`);
      sink.connected(problem);
    };
    sink.connected(undefined);
    this.#refresh(NO_PATHS, true);
    sink.synced();
    const stop = () => {
      this.#refresh = undefined;
      watch[Symbol.dispose]();
      stopped.resolve();
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    return stopped.promise;
  }

  reload(): void {
    this.#refresh?.(NO_PATHS, true);
  }

  /** Updates the sink. @returns the problem with the directory, if any. */
  #read(
    watch: DirectoryWatch,
    named: ReadonlySet<string>,
    everything: boolean,
    sink: Sink,
  ): string | undefined {
    let files: ManifestFiles;
    try {
      const identity = directoryIdentity(this.#directory);
      watch.follow(identity);
      if (identity === undefined) return `manifest directory ${this.#directory} is gone`;
      files = findManifests(this.#directory);
    } catch (error) {
      return `manifest directory ${this.#directory}: ${error instanceof Error ? error.message : error}`;
    }
    const changes: FileContents[] = [];
    for (const path of this.#stamps.keys()) {
      if (files.has(path)) continue;
      this.#stamps.delete(path);
      this.#reader.forget(path);
      changes.push({ path, claims: new Map(), objects: new Map() });
    }
    for (const [path, stamp] of files) {
      const full = `${this.#directory}/${path}`;
      if (watch.isIncomplete(full)) continue;
      if (!everything && this.#stamps.get(path) === stamp && !named.has(full)) continue;
      const contents = this.#contentsOf(path, false);
      this.#stamps.set(path, stamp);
      if (contents !== undefined) changes.push(contents);
    }
    const incomplete = this.#claims.update(changes, sink);
    // An unchanged file may now be the first one that defines an object, and has to be parsed again.
    this.#claims.update([...incomplete].flatMap((path) => this.#contentsOf(path, true) ?? []), sink);
    return undefined;
  }

  #contentsOf(path: string, everything: boolean): FileContents | undefined {
    let text: string;
    try {
      text = readManifest(`${this.#directory}/${path}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      this.#log.error(`${path}: cannot be read: ${reason}; its last valid version stays in force`);
      return undefined;
    }
    return this.#reader.read(path, text, this.#claims.of(path), everything);
  }
}

const NO_PATHS: ReadonlySet<string> = new Set();

/** In bytes. 50,000 services of 10 endpoints each as indented JSON are less. */
const MAX_FILE_BYTES = 256 * 1024 * 1024;

/** @throws Error when the file cannot be read or is too large */
function readManifest(path: string): string {
  const { size } = Deno.statSync(path);
  if (size > MAX_FILE_BYTES) {
    throw new Error(
      `it has ${megabytes(size)} MB, but at most ${megabytes(MAX_FILE_BYTES)} MB are allowed; split it`,
    );
  }
  return Deno.readTextFileSync(path);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
