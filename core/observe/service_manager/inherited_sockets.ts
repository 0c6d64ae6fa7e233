import { closeOnExec } from "../../../ffi/system/process.ts";
import type { Environment } from "./notifier.ts";

/** Descriptor of the first socket: SD_LISTEN_FDS_START, systemd/sd-daemon.h */
const FIRST = 3;
const VARIABLES = ["LISTEN_FDS", "LISTEN_FDNAMES", "LISTEN_PID", "LISTEN_PIDFDID"] as const;

/**
 * Returns the sockets that the service manager has kept from an earlier process (sd_listen_fds(3)), by name. Removes the
 * variables from the environment, and keeps the sockets from programs that this process starts.
 * @param pid of this process. The seam for tests.
 */
export function inheritedSockets(environment: Environment, pid = Deno.pid): Readonly<Record<string, number>> {
  const [count = "", names = "", process] = VARIABLES.map((name) => environment.get(name));
  for (const name of VARIABLES) environment.delete(name);
  if (process !== String(pid)) return {};
  const nameOf = names.split(":");
  const sockets: Record<string, number> = {};
  for (let index = 0; index < Number(count); index++) {
    const fd = FIRST + index;
    closeOnExec(fd);
    sockets[nameOf[index] || `unnamed-${fd}`] = fd;
  }
  return sockets;
}
