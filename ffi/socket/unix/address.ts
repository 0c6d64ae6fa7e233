import { AF_UNIX } from "../../libraries/libc.ts";

/** The longest path of a socket, with the NUL at its end: sizeof(sun_path) */
export const MAX_SOCKET_PATH = 108;

/**
 * Makes the address of a Unix socket.
 * struct sockaddr_un { sa_family_t sun_family; char sun_path[108]; }
 * @param path ends with NUL; an abstract name begins with it instead.
 */
export function unixAddress(path: string): Uint8Array<ArrayBuffer> {
  const bytes = new TextEncoder().encode(path);
  const address = new Uint8Array(2 + bytes.length);
  new DataView(address.buffer).setUint16(0, AF_UNIX, true);
  address.set(bytes, 2);
  return address;
}
