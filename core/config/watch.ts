import { basename, dirname } from "node:path";
import { UserError } from "../user_error.ts";
import type { ProxyConfig } from "./config.ts";

/**
 * Ends with an error when the configuration file says something else than what was read: the process is to end, and
 * whoever supervises it starts it anew with the new settings (docs/behaviour.md §9.5). Resolves when the signal aborts.
 * The directory is watched and the text compared, so that a replaced file or a swapped link (a ConfigMap) counts, and a
 * mere touch does not.
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
  // Between being read and being watched.
  if (await changed(file)) throw failure;
  for await (const event of watcher) {
    if (event.kind !== "access" && concerns(event, file.path) && await changed(file)) throw failure;
  }
}

/** The file itself, or a link that a mounted ConfigMap swaps: "..data". */
function concerns(event: Deno.FsEvent, path: string): boolean {
  return event.paths.some((changed) => [basename(path), "..data"].includes(basename(changed)));
}

/** A file that is gone or half replaced is not a new configuration. */
async function changed(file: NonNullable<ProxyConfig["file"]>): Promise<boolean> {
  try {
    const text = await Deno.readTextFile(file.path);
    return text !== file.text && text !== "";
  } catch {
    return false;
  }
}
