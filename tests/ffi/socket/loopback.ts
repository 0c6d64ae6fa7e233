import { AF_INET } from "../../../ffi/inet.ts";
import { SocketAddress } from "../../../ffi/socket/address.ts";
import { acceptTcp, connectTcp, listenTcp, localPort, tcpSocket } from "../../../ffi/socket/tcp.ts";
import { closeSocket } from "../../../ffi/socket/stream.ts";

const LOOPBACK = "\x7f\0\0\x01";

export function loopback(port = 0): SocketAddress {
  const address = new SocketAddress(AF_INET);
  address.set(LOOPBACK, port);
  return address;
}

/** Two TCP sockets that are connected to each other. */
export interface Connected extends Disposable {
  readonly client: number;
  readonly server: number;
}

/** Connects two sockets over the loopback interface, which establishes the connection within the call. */
export function connected(): Connected {
  const listener = listenTcp("listen", AF_INET, loopback());
  const client = tcpSocket(AF_INET);
  connectTcp(client, loopback(localPort(listener, loopback())));
  const server = acceptTcp(listener, loopback());
  closeSocket(listener);
  return {
    client,
    server,
    [Symbol.dispose]: () => {
      closeSocket(client);
      closeSocket(server);
    },
  };
}
