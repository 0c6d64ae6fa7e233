/** A process, as /proc names it. */
export interface ProcessName {
  readonly pid: number;
  readonly name: string;
}

/**
 * Finds the process that has the netlink socket with this port id. The port id of a process's first socket is mostly
 * its process id.
 * @param protocol such as NETLINK_NETFILTER.
 * @param proc for tests.
 * @returns undefined if the process is not visible from here, as in another PID namespace.
 */
export function processOfPort(protocol: number, portId: number, proc = "/proc"): ProcessName | undefined {
  const inode = inodeOf(protocol, portId, readText(`${proc}/net/netlink`));
  if (inode === undefined) return undefined;
  const link = `socket:[${inode}]`;
  const others = [...directoryNames(proc)].map(Number).filter((pid) =>
    Number.isInteger(pid) && pid !== portId
  );
  for (const pid of [portId, ...others]) {
    if (!holds(`${proc}/${pid}/fd`, link)) continue;
    return { pid, name: readText(`${proc}/${pid}/comm`).trim() };
  }
  return undefined;
}

/** Finds a socket in /proc/net/netlink: `sk Eth Pid Groups Rmem Wmem Dump Locks Drops Inode`. */
function inodeOf(protocol: number, portId: number, table: string): string | undefined {
  for (const line of table.split("\n")) {
    const [, eth, port, , , , , , , inode] = line.trim().split(/\s+/);
    if (Number(eth) === protocol && Number(port) === portId) return inode;
  }
  return undefined;
}

function holds(directory: string, link: string): boolean {
  for (const name of directoryNames(directory)) {
    try {
      if (Deno.readLinkSync(`${directory}/${name}`) === link) return true;
    } catch {
      // Closed meanwhile.
    }
  }
  return false;
}

function* directoryNames(path: string): Generator<string> {
  try {
    for (const { name } of Deno.readDirSync(path)) yield name;
  } catch {
    // The process ended, or is another user's.
  }
}

function readText(path: string): string {
  try {
    return Deno.readTextFileSync(path);
  } catch {
    return "";
  }
}
