/** A program whose worker ends while a call that it started waits in libnl, and which lives on. */
import { libc, SOL_SOCKET } from "../../../ffi/libraries/libc.ts";
import { libnl } from "../../../ffi/libraries/libnl.ts";
import { CallMemory } from "../../../ffi/memory.ts";
import { NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";

const SO_RCVTIMEO = 20; // asm-generic/socket.h

const CALL_MS = 500;
const LIFE_MS = 1500;

if (self.name === "worker") {
  const socket = libnl().nl_socket_alloc();
  libnl().nl_connect(socket, NETLINK_ROUTE);
  // struct timeval { time_t tv_sec; suseconds_t tv_usec; }, each 64 bits
  const timeout = new BigInt64Array([0n, BigInt(CALL_MS * 1000)]);
  libc().setsockopt(libnl().nl_socket_get_fd(socket), SOL_SOCKET, SO_RCVTIMEO, timeout, 16);
  const { buffer } = new CallMemory(20);
  const [received, sender] = [new Uint8Array(buffer, 0, 8), new Uint8Array(buffer, 8, 12)];
  libnl().nl_recv_nonblocking(socket, sender, received, null);
  self.close();
} else {
  new Worker(import.meta.url, { type: "module", name: "worker" });
  await new Promise((resolve) => setTimeout(resolve, LIFE_MS));
}
