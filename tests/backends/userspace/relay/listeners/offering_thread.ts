/** A worker that offers listeners as a process does that ends. It blocks its thread, as the relay does. */
import { EventLoop } from "../../../../../backends/userspace/relay/event_loop.ts";
import { HandOver } from "../../../../../backends/userspace/relay/listeners/hand_over.ts";
import {
  acceptPeer,
  listenForPeers,
  sendDescriptors,
} from "../../../../../ffi/socket/unix/descriptor_passing.ts";
import { closeSocket } from "../../../../../ffi/socket/stream.ts";

export interface Offer {
  /** Name of the abstract Unix socket. */
  readonly name: string;
  readonly listeners: readonly string[];
  /** True to end the connection after the first message, as a process does that is killed. */
  readonly isCutOff: boolean;
}

/** Time after which it gives up, so that a test that fails ends. */
const LIMIT_MS = 20_000;

declare const self: {
  onmessage: ((event: MessageEvent<Offer>) => void) | null;
  /** "offered", then the number of times that the listeners were taken. */
  postMessage(event: "offered" | number): void;
};

self.onmessage = ({ data: offer }) => {
  // The descriptor is the same one each time, because only their number matters.
  const socket = listenForPeers(`${offer.name}/listener`) ?? -1;
  const taken = offer.isCutOff ? cutOff(offer, socket) : handOver(offer, socket);
  closeSocket(socket);
  self.postMessage(taken);
};

function handOver({ name, listeners }: Offer, socket: number): number {
  using loop = new EventLoop();
  let taken = 0;
  let isOver = false;
  loop.addTimer({ nextDeadline: loop.now + LIMIT_MS, expire: () => isOver = true });
  const offer = () => Object.fromEntries(listeners.map((listener) => [listener, socket]));
  using _handOver = HandOver.open({
    loop,
    name,
    offer,
    taken: () => {
      taken++;
      isOver = true;
    },
  });
  self.postMessage("offered");
  while (!isOver) loop.turn();
  return taken;
}

function cutOff({ name, listeners }: Offer, socket: number): number {
  const listener = listenForPeers(name) ?? -1;
  self.postMessage("offered");
  const deadline = performance.now() + LIMIT_MS;
  let peer: number | undefined;
  while (peer === undefined && performance.now() < deadline) peer = acceptPeer(listener);
  const bytes = new TextEncoder().encode(JSON.stringify(listeners));
  sendDescriptors(peer ?? -1, { bytes, descriptors: listeners.map(() => socket) });
  for (const fd of [peer ?? -1, listener]) closeSocket(fd);
  return 0;
}
