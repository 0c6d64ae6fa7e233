/** A process that has a socket open. */
export interface SocketOwner {
  readonly pid: number;
  readonly name: string;
}

/**
 * Finds the processes that have sockets open, by the inodes of these. Processes of other users are left out without
 * CAP_SYS_PTRACE.
 */
export function socketOwners(inodes: ReadonlySet<number>): ReadonlyMap<number, SocketOwner> {
  const owners = new Map<number, SocketOwner>();
  if (inodes.size === 0) return owners;
  for (const { name } of Deno.readDirSync("/proc")) {
    const pid = Number(name);
    if (!Number.isInteger(pid)) continue;
    for (const inode of socketsOf(pid)) {
      if (inodes.has(inode)) owners.set(inode, { pid, name: nameOf(pid) });
    }
    if (owners.size === inodes.size) break;
  }
  return owners;
}

/** Inodes of the open sockets of a process; none if it has ended, or belongs to another user. */
function* socketsOf(pid: number): Generator<number> {
  const folder = `/proc/${pid}/fd`;
  try {
    for (const { name } of Deno.readDirSync(folder)) {
      const [, inode] = /^socket:\[(\d+)\]$/.exec(linkOf(`${folder}/${name}`)) ?? [];
      if (inode !== undefined) yield Number(inode);
    }
  } catch (error) {
    if (!(error instanceof Deno.errors.NotFound || error instanceof Deno.errors.PermissionDenied)) {
      throw error;
    }
  }
}

/** "" for a file that was closed in the meantime. */
function linkOf(path: string): string {
  try {
    return Deno.readLinkSync(path);
  } catch {
    return "";
  }
}

function nameOf(pid: number): string {
  try {
    return Deno.readTextFileSync(`/proc/${pid}/comm`).trim();
  } catch {
    return "";
  }
}
