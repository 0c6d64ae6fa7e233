import type { Family } from "../../core/net/protocol.ts";

/** Offsets in an entry of an x_tables table, on 64-bit machines. */
interface EntryLayout {
  readonly targetOffset: number;
  readonly nextOffset: number;
}

const ENTRY_LAYOUTS: Readonly<Record<Family, EntryLayout>> = {
  // struct ipt_entry { struct ipt_ip ip; unsigned nfcache; __u16 target_offset, next_offset; … } ip_tables.h
  IPv4: { targetOffset: 88, nextOffset: 90 },
  // struct ip6t_entry { struct ip6t_ip6 ipv6; unsigned nfcache; __u16 target_offset, next_offset; … } ip6_tables.h
  IPv6: { targetOffset: 140, nextOffset: 142 },
};

// struct xt_entry_target { __u16 target_size; char name[29]; __u8 revision; unsigned char data[]; } x_tables.h
const TARGET_NAME = 2;
const TARGET_DATA = 32;
const XT_EXTENSION_MAXNAMELEN = 29; // linux/netfilter/x_tables.h
const XT_FUNCTION_MAXNAMELEN = 30; // linux/netfilter/x_tables.h
const XT_ERROR_TARGET = "ERROR"; // linux/netfilter/x_tables.h

/**
 * Names of the user-defined chains, in order. Each chain begins with an entry whose ERROR target has the
 * name.
 */
export function chainNames(family: Family, entries: Uint8Array): readonly string[] {
  const { targetOffset, nextOffset } = ENTRY_LAYOUTS[family];
  const view = new DataView(entries.buffer, entries.byteOffset, entries.byteLength);
  const names: string[] = [];
  for (let at = 0; at + nextOffset + 2 <= entries.length;) {
    const target = at + view.getUint16(at + targetOffset, true);
    if (textAt(entries, target + TARGET_NAME, XT_EXTENSION_MAXNAMELEN) === XT_ERROR_TARGET) {
      names.push(textAt(entries, target + TARGET_DATA, XT_FUNCTION_MAXNAMELEN));
    }
    const length = view.getUint16(at + nextOffset, true);
    if (length === 0) break;
    at += length;
  }
  // The last entry of a table has an ERROR target, too, but begins no chain.
  return names.slice(0, -1);
}

function textAt(bytes: Uint8Array, start: number, maxLength: number): string {
  let text = "";
  for (const byte of bytes.subarray(start, start + maxLength)) {
    if (byte === 0) break;
    text += String.fromCharCode(byte);
  }
  return text;
}
