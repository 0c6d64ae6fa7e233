import type { RelaySettings } from "./messages.ts";

/** Open files that are left to the rest of the process. */
const RESERVED_FILES = 1024;
const MAX_PIPES = 256;

export interface FileBudget {
  /** A TCP connection takes two files, a pipe two, and a UDP flow one. */
  readonly connections: number;
  readonly pipes: number;
  readonly flows: number;
  /** Listeners of single frontends, each of which takes one file. */
  readonly listeners: number;
}

/**
 * Divides the open files that this process may have, so that no kind of use takes those of another.
 * @param open listeners that are open. Connections get the files of those that are not.
 */
export function fileBudget(
  limit: number,
  { maxConnections, maxUdpFlows }: Pick<RelaySettings, "maxConnections" | "maxUdpFlows">,
  open: number,
): FileBudget {
  const files = limit - Math.min(RESERVED_FILES, limit / 2);
  const pipes = Math.min(MAX_PIPES, Math.floor(files / 16));
  const flows = Math.min(maxUdpFlows, Math.floor(files / 8));
  const listeners = Math.floor(files / 2);
  const rest = files - flows - 2 * pipes - Math.min(open, listeners);
  return { connections: Math.min(maxConnections, Math.floor(rest / 2)), pipes, flows, listeners };
}
