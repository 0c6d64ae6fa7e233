/** In host byte order, both inclusive. */
export interface PortRange {
  readonly first: number;
  readonly last: number;
}

/**
 * Selects the source ports of masqueraded connections: the largest range without node ports and without the
 * ports that the kernel assigns to the node's own connections, so that the two cannot collide. If that range
 * is too small, ports are shared with the node's own connections.
 * @param text value of net.ipv4.ip_local_port_range, such as "32768\t60999".
 */
export function sourcePorts(text: string): PortRange {
  const [first = Number.NaN, last = Number.NaN] = text.trim().split(/\s+/).map(Number);
  const own = Number.isInteger(first) && Number.isInteger(last)
    ? { first, last }
    : { first: 32768, last: 60999 };
  const taken = [NODE_PORTS, own].toSorted((a, b) => a.first - b.first);
  const free: PortRange[] = [];
  let from = MIN_PORT;
  for (const range of taken) {
    free.push({ first: from, last: range.first - 1 });
    from = Math.max(from, range.last + 1);
  }
  free.push({ first: from, last: MAX_PORT });
  const largest = free.toSorted((a, b) => length(b) - length(a))[0];
  return largest !== undefined && length(largest) >= MIN_LENGTH
    ? largest
    : { first: NODE_PORTS.last + 1, last: MAX_PORT };
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
const MIN_LENGTH = 4096;

function length({ first, last }: PortRange): number {
  return last - first + 1;
}
