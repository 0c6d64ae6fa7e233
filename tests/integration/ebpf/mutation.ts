export interface Mutation {
  readonly seed: number;
  readonly count: number;
}

/** Packets, half of them from anywhere, with a few bytes changed or a part cut off; some of bytes that mean nothing at all. */
export function* mutated(packets: readonly Uint8Array[], { seed, count }: Mutation): Generator<Uint8Array> {
  const random = randomNumbers(seed);
  const below = (limit: number) => random() % limit;
  for (let made = 0; made < count; made++) {
    const packet = packets[below(packets.length)]!.slice();
    const isIPv4 = packet[etherType] === 0x08;
    const sourceEnd = linkHeader + (isIPv4 ? ipv4SourceEnd : ipv6SourceEnd);
    const isFromAnywhere = below(2) === 0;
    for (let at = sourceEnd - 2; at < sourceEnd && isFromAnywhere; at++) packet[at] = below(256);
    for (let changes = below(6); changes > 0; changes--) packet[below(packet.length)] = below(256);
    // Behind the link's header, so that it is still taken for IP.
    if (below(20) === 0) { for (let at = linkHeader; at < packet.length; at++) packet[at] = below(256); }
    const shortest = linkHeader + (isIPv4 ? ipv4Header : ipv6Header);
    yield below(4) === 0 ? packet.subarray(0, shortest + below(packet.length + 1 - shortest)) : packet;
  }
}

// Bytes. Newer kernels make no test run with less than an IP header.
const linkHeader = 14;
const etherType = 12;
const ipv4Header = 20;
const ipv6Header = 40;
const ipv4SourceEnd = 16;
const ipv6SourceEnd = 24;

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
