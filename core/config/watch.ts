import { basename, dirname } from "node:path";
import { UserError } from "../user_error.ts";
import type { ProxyConfig } from "./config.ts";

/**
 * Watches the configuration file until the signal aborts. Rejects when its text has changed: the process then ends, and
 * its supervisor restarts it with the new settings (docs/behaviour.md §9.5). Watches the directory and compares the
 * text, so that a replaced file or a swapped link (a ConfigMap) counts as a change and a touch does not.
 */
export async function watchConfigFile(
  file: NonNullable<ProxyConfig["file"]>,
  signal: AbortSignal,
): Promise<void> {
  using watcher = Deno.watchFs(dirname(file.path), { recursive: false });
  const stop = () => watcher[Symbol.dispose]();
  if (signal.aborted) return;
  signal.addEventListener("abort", stop, { once: true });
  const failure = new UserError("content of the proxy server's configuration file was updated");
  // The file may have changed after it was read and before the watch began.
  if (await changed(file)) throw failure;
  for await (const event of watcher) {
    if (event.kind !== "access" && concerns(event, file.path) && await changed(file)) throw failure;
  }
}

/** True for the file itself and for "..data", the link that a mounted ConfigMap swaps. */
function concerns(event: Deno.FsEvent, path: string): boolean {
  return event.paths.some((changed) => [basename(path), "..data"].includes(basename(changed)));
}

/** Reports whether the text differs. A missing or empty file is not a new configuration. */
async function changed(file: NonNullable<ProxyConfig["file"]>): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(file.path);
    return text !== file.text && text !== "";
  } catch {
    return false;
  }
}
