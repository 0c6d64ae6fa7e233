import { fileSystemAnswers } from "../../../ffi/files/blocking_file.ts";
import type { ManifestFileSystem } from "../../../core/manifests/files.ts";
import { ManifestSource } from "../../../core/manifests/source.ts";
import type { RawObject } from "../kube/raw_objects.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { RecordingSink } from "../kube/recording_sink.ts";

// Opens the C library, which stays open for the life of the process.
await fileSystemAnswers("/");

export interface Setup {
  readonly directory: string;
  /** Errors of calls to the file system, by absolute path. */
  readonly faults: Map<string, Error>;
  readonly sink: RecordingSink;
  readonly log: RecordingLog;
  readonly source: ManifestSource;
  write(path: string, ...objects: readonly (RawObject | string)[]): void;
}

export type Files = Readonly<Record<string, readonly (RawObject | string)[]>>;

/** Runs a test with a source on a new directory that contains `files`. */
export async function withManifests(files: Files, test: (setup: Setup) => Promise<void>): Promise<void> {
  await withDirectory(files, async ({ run }) => {
    await run(async (setup) => {
      await setup.sink.until(() => setup.sink.isSynced, "synced");
      await test(setup);
    });
  });
}

export interface Directory extends Pick<Setup, "directory" | "faults" | "write"> {
  /** Runs a test with a new source, as after a restart. */
  run(test: (setup: Setup) => Promise<void>): Promise<void>;
}

export async function withDirectory(
  files: Files,
  test: (directory: Directory) => Promise<void>,
): Promise<void> {
  const parent = Deno.makeTempDirSync({ prefix: "manifests-" });
  const directory = `${parent}/manifests`;
  Deno.mkdirSync(directory);
  const write = (path: string, ...objects: readonly (RawObject | string)[]) =>
    Deno.writeTextFileSync(`${directory}/${path}`, objects.map(text).join("\n---\n"));
  for (const [path, objects] of Object.entries(files)) write(path, ...objects);
  const faults = new Map<string, Error>();
  const failing = (path: string | URL) => {
    const fault = faults.get(String(path));
    if (fault !== undefined) throw fault;
  };
  const fileSystem: ManifestFileSystem = {
    readDirSync: (path) => (failing(path), Deno.readDirSync(path)),
    statSync: (path) => (failing(`stat ${path}`), Deno.statSync(path)),
    readTextFileSync: (path) => (failing(path), Deno.readTextFileSync(path)),
  };
  const run = async (test: (setup: Setup) => Promise<void>) => {
    const sink = new RecordingSink();
    const log = new RecordingLog();
    const source = new ManifestSource({
      directory,
      record: { folder: `${parent}/record`, isWritten: true },
      log,
      fileSystem,
    });
    const stop = new AbortController();
    const running = source.run(sink, stop.signal);
    try {
      await test({ directory, sink, log, source, write, faults });
    } finally {
      stop.abort();
      await running;
    }
  };
  try {
    await test({ directory, write, faults, run });
  } finally {
    Deno.removeSync(parent, { recursive: true });
  }
}

export function text(object: RawObject | string): string {
  return typeof object === "string" ? object : JSON.stringify(object, undefined, 1);
}

export const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));

export function portOf(sink: RecordingSink, name: string): number | undefined {
  const object = sink.objects.get(`Service default/${name}`);
  return object?.kind === "Service" ? object.ports[0]?.port : undefined;
}

export const port = (number: number) => ({ ports: [{ port: number }] });
