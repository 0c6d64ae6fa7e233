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
  /** Holds *.yaml, *.yml and *.json, also in subdirectories that are not hidden. */
  readonly directory: string;
  readonly log: Log;
}

/**
 * Objects from a directory of manifests that is watched. A file that cannot be parsed keeps its last good version
 * in force, an invalid object keeps its own; of an object in two files the first in path order counts. When the
 * directory itself goes away, everything stays in force until it is back.
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

  /** @throws UserError when there is no such directory at the start. */
  run(sink: Sink, signal: AbortSignal): Promise<void> {
    const stopped = Promise.withResolvers<void>();
    const identity = directoryIdentity(this.#directory);
    if (identity === undefined) {
      return Promise.reject(
        new UserError(
          `--manifests ${this.#directory}: no such directory; make it, or name the one that holds manifests`,
        ),
      );
    }
    const watch = new DirectoryWatch(this.#directory, this.#log, (paths) => this.#refresh?.(paths, false));
    let problem: string | undefined;
    this.#refresh = (named, everything) => {
      const before = problem;
      problem = this.#read(watch, named, everything, sink);
      if (problem === before) return;
      if (problem !== undefined) this.#log.warn(`${problem}; what was read before stays in force`);
      else this.#log.info(`manifests in ${this.#directory} can be read again`);
      sink.connected(problem);
    };
    sink.connected(undefined);
    this.#refresh(nothing, true);
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
    this.#refresh?.(nothing, true);
  }

  /** Brings the sink up to date; returns what is wrong with the directory, if anything is. */
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
      if (watch.isUnfinished(full)) continue;
      if (!everything && this.#stamps.get(path) === stamp && !named.has(full)) continue;
      const contents = this.#contentsOf(path, false);
      this.#stamps.set(path, stamp);
      if (contents !== undefined) changes.push(contents);
    }
    const incomplete = this.#claims.update(changes, sink);
    // A file that did not change may now be the first to hold an object: its text is needed once more.
    this.#claims.update([...incomplete].flatMap((path) => this.#contentsOf(path, true) ?? []), sink);
    return undefined;
  }

  #contentsOf(path: string, everything: boolean): FileContents | undefined {
    let text: string;
    try {
      text = readManifest(`${this.#directory}/${path}`);
    } catch (error) {
      const reason = error instanceof Error ? error.message : error;
      this.#log.error(`${path}: cannot be read: ${reason}; its last good version stays in force`);
      return undefined;
    }
    return this.#reader.read(path, text, this.#claims.of(path), everything);
  }
}

const nothing: ReadonlySet<string> = new Set();

/** What a file may hold: 50,000 services of 10 endpoints as indented JSON are less. */
const largestFile = 256 * 1024 * 1024;

/** @throws Error, also for a file that would take all memory. */
function readManifest(path: string): string {
  const { size } = Deno.statSync(path);
  if (size > largestFile) {
    throw new Error(`it has ${megabytes(size)} MB, and ${megabytes(largestFile)} MB are the most; split it`);
  }
  return Deno.readTextFileSync(path);
}

function megabytes(bytes: number): number {
  return Math.round(bytes / 1024 / 1024);
}
