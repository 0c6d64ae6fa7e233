import { type Address, addressFromBytes } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";

/** A listening TCP socket. */
export interface Listener {
  readonly address: Address;
  readonly port: number;
  /** Number of its inode, by which `/proc/PID/fd` names it. */
  readonly inode: number;
}

const TCP_LISTEN = "0A"; // include/net/tcp_states.h

/** More lines are not read: a node has some dozens of listening sockets, which the kernel lists first. */
const MAX_LISTENERS = 4096;

/** Lists the listening TCP sockets of this network namespace; none if /proc is hidden. */
export function readListeners(family: Family, proc = "/proc"): Listener[] {
  let text: string;
  try {
    text = Deno.readTextFileSync(`${proc}/net/${family === "IPv4" ? "tcp" : "tcp6"}`);
  } catch {
    return [];
  }
  const listeners: Listener[] = [];
  for (const line of text.split("\n").slice(1)) {
    // sl local_address rem_address st tx_queue:rx_queue tr:tm->when retrnsmt uid timeout inode …
    const [, local = "", , state, , , , , , inode] = line.trim().split(/\s+/);
    if (state !== TCP_LISTEN) continue;
    if (listeners.length === MAX_LISTENERS) break;
    const [address = "", port = ""] = local.split(":");
    listeners.push({
      address: addressFromBytes(bytesOf(address)),
      port: parseInt(port, 16),
      inode: Number(inode),
    });
  }
  return listeners;
}

/** The kernel prints an address as words of 32 bits in the byte order of the processor, which is little-endian. */
function bytesOf(hex: string): Uint8Array {
  const bytes = new Uint8Array(hex.length / 2);
  for (let at = 0; at < bytes.length; at++) {
    const inWord = at & ~3 | 3 - (at & 3);
    bytes[at] = parseInt(hex.slice(2 * inWord, 2 * inWord + 2), 16);
  }
  return bytes;
}
