import { SO_PEERCRED, SOL_SOCKET } from "../../libraries/libc.ts";
import { calls } from "../calls.ts";

/** A process as the kernel recorded it when the process connected or began to listen. */
export interface Credentials {
  /** 0 if the process is in a PID namespace that this process cannot see. */
  readonly pid: number;
  readonly uid: number;
}

/** Returns the process at the other end of a Unix socket; undefined if the kernel does not tell. */
export function peerCredentials(fd: number): Credentials | undefined {
  // struct ucred { pid_t pid; uid_t uid; gid_t gid; }, 32 bits each
  const credentials = new Uint32Array(3);
  const length = new Uint32Array([credentials.byteLength]);
  if (calls.getsockopt(fd, SOL_SOCKET, SO_PEERCRED, credentials, length) < 0) return undefined;
  const [pid = 0, uid = 0] = credentials;
  return { pid, uid };
}
