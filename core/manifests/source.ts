import { resolve } from "node:path";
import type { Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";
import { AnswerGate } from "./answer_gate.ts";
import { DirectoryWatch } from "./directory_watch.ts";
import { ManifestClaims } from "./file_claims.ts";
import type { FileContents } from "./file_claims.ts";
import {
  directoryIdentity,
  type FileStamp,
  findManifests,
  isBehind,
  type ManifestFiles,
  type ManifestFileSystem,
  readManifest,
  reasonOf,
} from "./files.ts";
import { type Invalid, ManifestReader } from "./reader.ts";
import { ManifestRecord } from "./record.ts";
import type { Sink, Source } from "../source.ts";
import { StartCheck } from "./start_check.ts";

export interface ManifestOptions {
  /** Directory with *.yaml, *.yml and *.json files, also in subdirectories that are not hidden. */
  readonly directory: string;
  /**
   * The record of the objects in force (see ManifestRecord); undefined for a reader that puts nothing in force and misses
   * nothing.
   */
  readonly record: RecordOptions | undefined;
  readonly log: Log;
  readonly fileSystem?: ManifestFileSystem;
}

export interface RecordOptions {
  readonly folder: string;
  /** False for a reader that puts nothing in force. */
  readonly isWritten: boolean;
}

/** The record is written at most this often. */
const RECORD_DELAY_MS = 1000;

/**
 * Objects from a watched directory of manifests. A file that cannot be read or parsed, or that became empty, keeps its
 * last valid version in force, and so does an invalid object. If two files define an object, the first one in path
 * order is used. When the directory itself disappears, everything stays in force until it is back.
 *
 * The last valid versions of a previous process are in the kernel only. Therefore a start is not synced, and the kernel
 * is left alone, while a broken file hides objects that the previous process had in force.
 */
export class ManifestSource implements Source {
  readonly #directory: string;
  readonly #fileSystem: ManifestFileSystem;
  readonly #reader: ManifestReader;
  readonly #claims: ManifestClaims;
  readonly #record: Pick<ManifestRecord, "read" | "write">;
  readonly #log: Log;
  /** Stamps of the files that were read. Undefined for a file that could not be read: it is tried again. */
  readonly #stamps = new Map<string, FileStamp | undefined>();
  /** Reasons why files and subdirectories cannot be read, as logged. */
  #unreadable: ReadonlyMap<string, string> = new Map();
  /** Files with something invalid, and subdirectories that cannot be read. */
  readonly #broken = new Map<string, Invalid>();
  #sink: Sink | undefined;
  /** Undefined after `synced`. */
  #start: StartCheck | undefined;
  #gate: AnswerGate | undefined;
  #recordedVersion = -1;
  #recordTimer: number | undefined;

  constructor({ directory, fileSystem = Deno, record, log }: ManifestOptions) {
    this.#directory = resolve(directory);
    this.#fileSystem = fileSystem;
    this.#reader = new ManifestReader(log, {
      read: (raw) => this.#sink?.read?.(raw),
      unused: (object) => this.#sink?.unused?.(object),
      corrected: (ref) => this.#sink?.corrected?.(ref),
    });
    this.#claims = new ManifestClaims(log);
    const kept = record && new ManifestRecord(this.#directory, record.folder, log);
    this.#record = {
      read: () => kept?.read() ?? new Map(),
      write: (files) => record?.isWritten ? kept?.write(files) : undefined,
    };
    this.#log = log;
  }

  /** @throws UserError when the directory does not exist at the start */
  run(sink: Sink, signal: AbortSignal): Promise<void> {
    this.#sink = sink;
    const stopped = Promise.withResolvers<void>();
    const identity = directoryIdentity(this.#directory);
    if (identity === undefined) {
      return Promise.reject(
        new UserError(
          `--manifests ${this.#directory}: no such directory; create it, or give the directory with the manifests`,
        ),
      );
    }
    this.#start = new StartCheck(this.#record.read());
    const watch = new DirectoryWatch(
      this.#directory,
      this.#log,
      (paths) => this.#gate?.request(paths, false),
    );
    let problem: string | undefined;
    const report = (next: string | undefined) => {
      if (next === problem) return;
      problem = next;
      if (problem === undefined) this.#log.info(`the manifests in ${this.#directory} are complete again`);
      else if (this.#start === undefined) {
        this.#log.warn(`${problem}; the objects read before stay in force`);
      } else this.#log.error(`${problem}; until then nothing is programmed, and the kernel stays as it is`);
      sink.connected(problem);
    };
    const read = (named: ReadonlySet<string>, everything: boolean) => {
      report(this.#read(watch, named, everything, sink) ?? this.#checkStart());
      if (problem === undefined && this.#start !== undefined) {
        this.#start = undefined;
        sink.synced();
        this.#writeRecord();
      }
      if (this.#start === undefined) this.#scheduleRecord();
    };
    sink.connected(undefined);
    read(NO_PATHS, true);
    const gate = new AnswerGate({
      directory: this.#directory,
      read,
      silent: () => report(`the file system of ${this.#directory} does not answer`),
    });
    this.#gate = gate;
    const stop = () => {
      this.#gate = undefined;
      watch[Symbol.dispose]();
      if (this.#start === undefined) this.#writeRecord();
      stopped.resolve(gate[Symbol.asyncDispose]());
    };
    if (signal.aborted) stop();
    else signal.addEventListener("abort", stop, { once: true });
    return stopped.promise;
  }

  async reload(): Promise<void> {
    await this.#gate?.request(NO_PATHS, true);
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
      files = findManifests(this.#directory, this.#fileSystem);
    } catch (error) {
      return `manifest directory ${this.#directory}: ${reasonOf(error)}`;
    }
    const unreadable = new Map(files.unreadable);
    const changes = this.#removals(files);
    for (const [path, stamp] of files.stamps) {
      const full = `${this.#directory}/${path}`;
      if (watch.isIncomplete(full)) {
        if (!this.#stamps.has(path)) this.#broken.set(path, "any");
        continue;
      }
      if (!everything && this.#stamps.get(path) === stamp && !named.has(full)) continue;
      try {
        const contents = this.#contentsOf(path, false);
        this.#stamps.set(path, stamp);
        if (contents !== undefined) changes.push(contents);
      } catch (error) {
        this.#stamps.set(path, undefined);
        unreadable.set(path, reasonOf(error));
      }
    }
    this.#reportUnreadable(unreadable, everything);
    const incomplete = this.#claims.update(changes, sink);
    // An unchanged file may now be the first one that defines an object, and has to be parsed again.
    const again = [...incomplete].flatMap((path) => {
      try {
        return this.#contentsOf(path, true) ?? [];
      } catch {
        this.#stamps.set(path, undefined);
        return [];
      }
    });
    this.#claims.update(again, sink);
    return undefined;
  }

  /** Forgets the files that are gone. A file in a subdirectory that cannot be read may still be there. */
  #removals(files: ManifestFiles): FileContents[] {
    for (const place of this.#broken.keys()) {
      if (!files.stamps.has(place) && !files.unreadable.has(place)) this.#broken.delete(place);
    }
    for (const place of files.unreadable.keys()) {
      this.#broken.set(place, "any");
      if (this.#stamps.has(place)) this.#stamps.set(place, undefined);
    }
    const gone = [...this.#stamps.keys()].filter((path) =>
      !files.stamps.has(path) && !isBehind(path, files.unreadable.keys())
    );
    return gone.map((path) => {
      this.#stamps.delete(path);
      this.#reader.forget(path);
      return { path, claims: new Map(), objects: new Map() };
    });
  }

  /**
   * @returns undefined when the contents in force stay in force
   * @throws Error when the file cannot be read
   */
  #contentsOf(path: string, everything: boolean): FileContents | undefined {
    this.#broken.set(path, "any");
    const text = readManifest(`${this.#directory}/${path}`, this.#fileSystem);
    const before = this.#claims.of(path);
    const isInForce = before !== undefined || this.#start?.had(path) === true;
    // An editor or a full disk leaves an empty file, for a moment or for good.
    if (text === "" && isInForce) {
      this.#log.error(
        `${path}: is empty; its last valid version stays in force. ` +
          "To remove its objects, remove the file or leave a comment in it",
      );
      return undefined;
    }
    const { contents, invalid } = this.#reader.read(path, text, { before, isInForce, everything });
    if (invalid === "any" || invalid.size > 0) this.#broken.set(path, invalid);
    else this.#broken.delete(path);
    return contents;
  }

  /** Logs what cannot be read: new reasons only, or all of them after a reload. */
  #reportUnreadable(unreadable: ReadonlyMap<string, string>, all: boolean): void {
    for (const [path, reason] of unreadable) {
      if (!all && this.#unreadable.get(path) === reason) continue;
      const whose = path.endsWith("/")
        ? "the last valid versions of its files stay"
        : "its last valid version stays";
      this.#log.error(`${path}: cannot be read: ${reason}; ${whose} in force, and reading is tried again`);
    }
    this.#unreadable = unreadable;
  }

  /** @returns what the start misses, if it is not complete yet */
  #checkStart(): string | undefined {
    return this.#start?.missing(this.#broken, (name) => this.#claims.has(name));
  }

  #scheduleRecord(): void {
    if (this.#recordTimer !== undefined || this.#recordedVersion === this.#claims.namesVersion) return;
    this.#recordTimer = setTimeout(() => this.#writeRecord(), RECORD_DELAY_MS);
    Deno.unrefTimer(this.#recordTimer);
  }

  #writeRecord(): void {
    clearTimeout(this.#recordTimer);
    this.#recordTimer = undefined;
    if (this.#recordedVersion === this.#claims.namesVersion) return;
    this.#recordedVersion = this.#claims.namesVersion;
    this.#record.write(this.#claims.names());
  }
}

const NO_PATHS: ReadonlySet<string> = new Set();
