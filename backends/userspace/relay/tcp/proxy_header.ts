import type { Family } from "../../../../core/net/protocol.ts";

/** Signature of the PROXY protocol, version 2. haproxy.org/download/2.8/doc/proxy-protocol.txt §2.2 */
const SIGNATURE = [0x0d, 0x0a, 0x0d, 0x0a, 0x00, 0x0d, 0x0a, 0x51, 0x55, 0x49, 0x54, 0x0a] as const;
/** Version 2, command PROXY: the connection is that of a client. */
const VERSION_2_PROXY = 0x21;
/** TCP over IPv4 and over IPv6. */
const FAMILY_AND_PROTOCOL: Readonly<Record<Family, number>> = { IPv4: 0x11, IPv6: 0x21 };

/** A client and the destination that it connected to; addresses have one character per byte. */
export interface ClientConnection {
  readonly client: string;
  readonly clientPort: number;
  readonly destination: string;
  readonly destinationPort: number;
}

/** Returns the header that tells an endpoint the client's address. It comes before the first byte of the client. */
export function proxyHeader(family: Family, connection: ClientConnection): Uint8Array<ArrayBuffer> {
  const { client, clientPort, destination, destinationPort } = connection;
  const length = 2 * client.length + 4;
  const header = new Uint8Array(SIGNATURE.length + 4 + length);
  header.set(SIGNATURE);
  header.set([VERSION_2_PROXY, FAMILY_AND_PROTOCOL[family], length >> 8, length & 0xff], SIGNATURE.length);
  let at = SIGNATURE.length + 4;
  for (const address of [client, destination]) {
    for (let index = 0; index < address.length; index++) header[at++] = address.charCodeAt(index);
  }
  header.set([clientPort >> 8, clientPort & 0xff, destinationPort >> 8, destinationPort & 0xff], at);
  return header;
}
