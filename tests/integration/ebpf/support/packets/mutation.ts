export interface Mutation {
  readonly seed: number;
  readonly count: number;
}

/**
 * Mutates packets: changes up to five bytes, or truncates the packet, or replaces everything behind the
 * Ethernet header with random bytes. Half of the packets get a random host in their source address.
 */
export function* mutated(packets: readonly Uint8Array[], { seed, count }: Mutation): Generator<Uint8Array> {
  const random = randomNumbers(seed);
  const below = (limit: number) => random() % limit;
  for (let made = 0; made < count; made++) {
    const packet = packets[below(packets.length)]!.slice();
    const isIPv4 = packet[ETHER_TYPE] === 0x08;
    const sourceEnd = ETHERNET_BYTES + (isIPv4 ? IPV4_SOURCE_END : IPV6_SOURCE_END);
    const hasRandomSource = below(2) === 0;
    for (let at = sourceEnd - 2; at < sourceEnd && hasRandomSource; at++) packet[at] = below(256);
    for (let changes = below(6); changes > 0; changes--) packet[below(packet.length)] = below(256);
    // The Ethernet header is kept, so that the packet is still treated as IP.
    if (below(20) === 0) {
      for (let at = ETHERNET_BYTES; at < packet.length; at++) packet[at] = below(256);
    }
    const minBytes = ETHERNET_BYTES + (isIPv4 ? IPV4_BYTES : IPV6_BYTES);
    yield below(4) === 0 ? packet.subarray(0, minBytes + below(packet.length + 1 - minBytes)) : packet;
  }
}

const ETHERNET_BYTES = 14;
/** Offset in the Ethernet header. */
const ETHER_TYPE = 12;
// Headers without options. Newer kernels reject test runs with less than an IP header.
const IPV4_BYTES = 20;
const IPV6_BYTES = 40;
// Offsets in the IP header.
const IPV4_SOURCE_END = 16;
const IPV6_SOURCE_END = 24;

/** xorshift32: the same numbers for the same seed. */
function randomNumbers(seed: number): () => number {
  let state = seed || 1;
  return () => {
    state ^= state << 13;
    state ^= state >>> 17;
    state ^= state << 5;
    return state >>> 0;
  };
}
