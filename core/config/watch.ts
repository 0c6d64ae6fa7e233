import { basename, dirname } from "node:path";
import { DeadlineError } from "../async/attempt.ts";
import { SupervisedFiles } from "../supervised_files.ts";
import { Wakeup } from "../async/wakeup.ts";
import type { Log } from "../observe/log.ts";
import { UserError } from "../user_error.ts";
import type { ProxyConfig } from "./config.ts";

/**
 * Interval of comparing the text without an event. The file or a directory above it may be a symbolic link, whose
 * target inotify does not watch, or lie on a network file system.
 */
const POLL_MS = 2000;

/** Time until a file system counts as dead. */
const READ_MS = 10_000;

/**
 * Watches the configuration file until the signal aborts. Rejects when its text has changed: the process then ends, and
 * its supervisor restarts it with the new settings (docs/behaviour.md §9.5). Compares the text after events in the
 * directory and every 2 s, so that a replaced file, a swapped link (a ConfigMap) and a written target of a link count
 * as changes and a touch does not. A file system that does not answer is a line in the log.
 * @param readMs time limit of a read, for tests.
 */
export async function watchConfigFile(
  file: NonNullable<ProxyConfig["file"]>,
  log: Log,
  signal: AbortSignal,
  readMs = READ_MS,
): Promise<void> {
  const files = new SupervisedFiles(readMs);
  let isAnswering = true;
  const wakeup = new Wakeup();
  using watcher = openWatcher(dirname(file.path));
  wakeAtEvents(watcher, file.path, wakeup);
  signal.addEventListener("abort", () => wakeup.wake(), { once: true });
  // The first comparison comes at once: the file may have changed after it was read and before the watch began.
  while (!signal.aborted) {
    const text = await readText(files, file.path, signal);
    if (text !== undefined && text !== file.text && text !== "") {
      throw new UserError("content of the proxy server's configuration file was updated");
    }
    if (text === undefined && isAnswering) {
      log.warn(
        "The configuration file cannot be read, so changes are not noticed: its file system does not answer",
        {
          path: file.path,
        },
      );
    }
    isAnswering = text !== undefined;
    await wakeup.waitUntil(performance.now() + POLL_MS);
  }
}

/** Undefined when inotify cannot be used, for example because the kernel has no watches left. */
function openWatcher(directory: string): Deno.FsWatcher | undefined {
  try {
    return Deno.watchFs(directory, { recursive: false });
  } catch {
    return undefined;
  }
}

async function wakeAtEvents(
  watcher: Deno.FsWatcher | undefined,
  path: string,
  wakeup: Wakeup,
): Promise<void> {
  try {
    for await (const event of watcher ?? []) {
      if (event.kind !== "access" && concerns(event, path)) wakeup.wake();
    }
  } catch {
    // Polling continues.
  }
}

/** True for the file itself and for "..data", the link that a mounted ConfigMap swaps. */
function concerns(event: Deno.FsEvent, path: string): boolean {
  return event.paths.some((changed) => [basename(path), "..data"].includes(basename(changed)));
}

/** The text; "" for a file that is missing or cannot be read; undefined if its file system does not answer. */
async function readText(
  files: SupervisedFiles,
  path: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return await files.read("config", path, signal);
  } catch (error) {
    return error instanceof DeadlineError ? undefined : "";
  }
}
