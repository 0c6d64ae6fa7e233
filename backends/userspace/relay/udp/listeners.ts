import { bindUdp } from "../../../../ffi/socket/udp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EventLoop } from "../event_loop.ts";
import type { InheritedSockets } from "../listeners/inherited_sockets.ts";
import { ListenerSet } from "../listeners/listener_set.ts";
import { UdpReceiver } from "./receiver.ts";
import type { UdpRelay } from "./udp_relay.ts";

/** Datagrams that may wait for the relay, in bytes of kernel memory. */
const RECEIVE_BYTES = 4 * 1024 * 1024;

/** Returns the sockets that clients send datagrams to. */
export function udpListeners(
  loop: EventLoop,
  relay: UdpRelay,
  inherited: InheritedSockets,
  hasRoom: () => boolean,
): ListenerSet {
  return new ListenerSet({
    loop,
    protocol: "UDP",
    inherited,
    hasRoom,
    open: (operation, family, address, destination, existing) => {
      const fd = existing ?? bindUdp(operation, FAMILY_NUMBERS[family], address, RECEIVE_BYTES);
      return { fd, target: new UdpReceiver(relay, fd, family, destination) };
    },
    closing: ({ target }) => {
      if (target instanceof UdpReceiver) relay.endFlowsOf(target);
    },
  });
}
