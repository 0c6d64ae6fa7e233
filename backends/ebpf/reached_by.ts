import type { EntryMap, KernelMaps } from "./kernel_maps.ts";
import {
  NODE_ADDRESS,
  readReachedBy,
  readService,
  SIZE,
  type SlotRange,
  viewOf,
  writePeer,
} from "./layout.ts";
import type { ConnectedSocket } from "./socket_diag.ts";

/** What says whether the endpoint of a socket is one that its service has. */
export interface PeerMaps extends Pick<KernelMaps, "services" | "endpoints" | "node_addresses"> {
  readonly peers: Pick<EntryMap, "lookup">;
}

/**
 * Whether a UDP socket was connected to a service that does not have its endpoint any more: what bpf/destroy.bpf.c
 * finds out in the kernel, for kernels that cannot run it.
 */
export function isStranded(maps: PeerMaps, socket: ConnectedSocket): boolean {
  const peer = new Uint8Array(SIZE.peer);
  writePeer(viewOf(peer), 0, socket.cookie, socket.address, socket.port);
  const by = new Uint8Array(SIZE.reached_by);
  if (!maps.peers.lookup(peer, by)) return false;
  const frontend = readReachedBy(viewOf(by));
  const service = new Uint8Array(SIZE.service);
  if (!maps.services.lookup(frontend, service)) {
    const nodePort = nodePortOf(maps, frontend);
    if (nodePort === undefined || !maps.services.lookup(nodePort, service)) return true;
  }
  return !hasEndpoint(maps.endpoints, readService(viewOf(service), 0).serving, socket);
}

/** The key of a node port, when the address is one of the node that answers on them. */
function nodePortOf(
  { node_addresses }: Pick<PeerMaps, "node_addresses">,
  frontend: Uint8Array<ArrayBuffer>,
): Uint8Array<ArrayBuffer> | undefined {
  const flags = new Uint8Array(4);
  const address = frontend.slice(0, SIZE.address);
  if (!node_addresses.lookup(address, flags)) return undefined;
  if ((viewOf(flags).getUint32(0, true) & NODE_ADDRESS.PORTS) === 0) return undefined;
  const key = frontend.slice();
  const isIPv4 = viewOf(address).getBigUint64(0) === 0n && viewOf(address).getUint32(8) === 0xffff;
  key.fill(0, isIPv4 ? 12 : 0, SIZE.address);
  return key;
}

function hasEndpoint(
  endpoints: DataView<ArrayBuffer>,
  { first, count }: SlotRange,
  { address, port }: ConnectedSocket,
): boolean {
  for (let slot = first; slot < first + count; slot++) {
    const offset = slot * SIZE.endpoint;
    if (endpoints.getUint16(offset + SIZE.address) !== port) continue;
    const found = new Uint8Array(endpoints.buffer, endpoints.byteOffset + offset, SIZE.address);
    if (found.every((byte, index) => byte === address[index])) return true;
  }
  return false;
}
