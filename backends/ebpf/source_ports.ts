/** Host order, both included. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/** Below are the ports that only privileged programs bind. */
const FIRST_PORT = 1024;
const LAST_PORT = 65535;

/** --service-node-port-range of the API server, unless somebody chose another: nobody is to take one for the other. */
const nodePorts: PortRange = { first: 30000, last: 32767 };

/**
 * Source ports of masqueraded connections: the longest range without those that the kernel gives to the node's own
 * connections, so that no two can be the same. Where the node's own have nearly all, theirs are shared.
 * @param text of net.ipv4.ip_local_port_range: "32768\t60999".
 */
export function sourcePorts(text: string): PortRange {
  const [first = Number.NaN, last = Number.NaN] = text.trim().split(/\s+/).map(Number);
  const own = Number.isInteger(first) && Number.isInteger(last)
    ? { first, last }
    : { first: 32768, last: 60999 };
  const taken = [nodePorts, own].toSorted((a, b) => a.first - b.first);
  const free: PortRange[] = [];
  let from = FIRST_PORT;
  for (const range of taken) {
    free.push({ first: from, last: range.first - 1 });
    from = Math.max(from, range.last + 1);
  }
  free.push({ first: from, last: LAST_PORT });
  const longest = free.toSorted((a, b) => length(b) - length(a))[0];
  return longest !== undefined && length(longest) >= FEWEST
    ? longest
    : { first: nodePorts.last + 1, last: LAST_PORT };
}

/** With fewer, connections to one endpoint would wait for each other. */
const FEWEST = 4096;

function length({ first, last }: PortRange): number {
  return last - first + 1;
}
