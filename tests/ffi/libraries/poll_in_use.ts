/**
 * A program whose workers end while they wait for a netlink socket. Another worker takes over their memory, and prints
 * how many of its buffers the ends of the waits have changed.
 */
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";

const WAIT_MS = 600;
const WORKERS = 4;
/** Calls per worker, fewer than the runtime has threads for them. */
const CALLS = 24;
const BUFFERS = 50_000;
/** Size of two struct pollfd. */
const BUFFER_BYTES = 16;

const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const start = (name: string) => new Worker(import.meta.url, { type: "module", name });

switch (self.name) {
  case "waiting":
    for (let socket = NetlinkSocket.open(NETLINK_ROUTE), call = 0; call < CALLS; call++) {
      void socket.readable(WAIT_MS);
    }
    self.close();
    break;
  case "successor": {
    const buffers = Array.from({ length: BUFFERS }, () => new Uint8Array(BUFFER_BYTES).fill(0xaa));
    await pause(WAIT_MS + 200);
    console.log(buffers.filter((bytes) => bytes.some((byte) => byte !== 0xaa)).length);
    self.close();
    break;
  }
  default:
    for (let count = 0; count < WORKERS; count++) start("waiting");
    await pause(WAIT_MS / 3);
    start("successor");
    await pause(2 * WAIT_MS + 500);
}
