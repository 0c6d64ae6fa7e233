import { setConnectionOptions } from "../../../../ffi/socket/options.ts";
import { listenTcp } from "../../../../ffi/socket/tcp.ts";
import { FAMILY_NUMBERS } from "../../../protocol_numbers.ts";
import type { EventLoop, Timer } from "../event_loop.ts";
import type { InheritedSockets } from "../listeners/inherited_sockets.ts";
import { ListenerSet } from "../listeners/listener_set.ts";
import type { Warn } from "../rate_limited_warnings.ts";
import { TcpListener } from "./listener.ts";
import { KEEP_ALIVE, type TcpRelay } from "./tcp_relay.ts";

/** Time without accepting, when there are no descriptors left or too many connections. Clients wait in the backlog. */
const PAUSE_MS = 100;

/** The listeners of TCP, which pause together. */
export class TcpListeners implements Timer {
  readonly set: ListenerSet;
  readonly #loop: EventLoop;
  readonly #relay: TcpRelay;
  readonly #warn: Warn;
  /** End of the pause; Infinity while connections are accepted. */
  nextDeadline = Infinity;

  constructor(
    loop: EventLoop,
    relay: TcpRelay,
    inherited: InheritedSockets,
    hasRoom: () => boolean,
    warn: Warn,
  ) {
    this.#loop = loop;
    this.#relay = relay;
    this.#warn = warn;
    loop.addTimer(this);
    this.set = new ListenerSet({
      loop,
      protocol: "TCP",
      inherited,
      hasRoom,
      open: (operation, family, address, destination, existing) => {
        const fd = existing ?? listenTcp(operation, FAMILY_NUMBERS[family], address);
        setConnectionOptions(fd, KEEP_ALIVE);
        return { fd, target: new TcpListener({ family, relay, destination, pause: () => this.#pause() }) };
      },
      // Connections that wait are served, because closing would reset them.
      closing: ({ fd, target }) => target.handleEvents(fd, 0),
    });
  }

  /** Ends the pause. */
  expire(): void {
    this.nextDeadline = Infinity;
    this.set.setPaused(false);
  }

  #pause(): void {
    if (this.nextDeadline !== Infinity) return;
    this.nextDeadline = this.#loop.now + PAUSE_MS;
    this.set.setPaused(true);
    const connections = this.#relay.openConnections;
    this.#warn(
      "no connections are accepted for a moment: too many are open, or no file descriptors are left",
      {
        connections,
      },
    );
  }
}
