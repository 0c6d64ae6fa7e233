/** In host byte order, both inclusive. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Selects the source ports of masqueraded connections: all ports that are neither privileged, nor node ports, nor
 * assigned by the kernel to the node's own connections, so that these cannot collide. If too few are left, they are
 * shared with the node's own connections.
 * @param text value of net.ipv4.ip_local_port_range, such as "32768\t60999".
 * @returns at most three ranges.
 */
export function sourcePorts(text: string): readonly PortRange[] {
  const [first = Number.NaN, last = Number.NaN] = text.trim().split(/\s+/).map(Number);
  const own = Number.isInteger(first) && Number.isInteger(last)
    ? { first, last }
    : { first: 32768, last: 60999 };
  const free = without([NODE_PORTS, own]);
  const count = free.reduce((sum, range) => sum + portsIn(range), 0);
  return count >= MIN_PORTS ? free : without([NODE_PORTS, { first: MIN_PORT, last: NODE_PORTS.first }]);
}

/** The source ports of masqueraded connections of this network namespace. */
export function readSourcePorts(): readonly PortRange[] {
  return sourcePorts(Deno.readTextFileSync("/proc/sys/net/ipv4/ip_local_port_range"));
}

/** Divides ranges into two halves, so that two versions of the programs never choose the same port. */
export function halvesOf(ranges: readonly PortRange[]): readonly [PortRange[], PortRange[]] {
  const lower: PortRange[] = [];
  const upper: PortRange[] = [];
  let left = Math.floor(ranges.reduce((sum, range) => sum + portsIn(range), 0) / 2);
  for (const { first, last } of ranges) {
    const end = Math.min(last, first + left - 1);
    if (end >= first) lower.push({ first, last: end });
    if (end < last) upper.push({ first: end + 1, last });
    left -= end - first + 1;
  }
  return [lower, upper];
}

/** The ranges of unprivileged ports that `taken` leaves. */
function without(taken: readonly PortRange[]): readonly PortRange[] {
  const free: PortRange[] = [];
  let from = MIN_PORT;
  for (const range of taken.toSorted((a, b) => a.first - b.first)) {
    free.push({ first: from, last: range.first - 1 });
    from = Math.max(from, range.last + 1);
  }
  free.push({ first: from, last: MAX_PORT });
  return free.filter((range) => portsIn(range) > 0);
}

/** Ports below it are privileged. */
const MIN_PORT = 1024;
const MAX_PORT = 65535;

/**
 * Default of --service-node-port-range of the API server. Excluded, so that a source port is never a node
 * port.
 */
const NODE_PORTS: PortRange = { first: 30000, last: 32767 };

/** With fewer ports, connections to one endpoint would have to wait for each other. */
const MIN_PORTS = 4096;

export function portsIn({ first, last }: PortRange): number {
  return last - first + 1;
}
