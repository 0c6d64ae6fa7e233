import { SYS_bpf } from "../architecture.ts";
import { libc } from "../libraries/libc.ts";

/** enum bpf_attach_type, linux/bpf.h, since Linux 6.6 */
export const BPF_TCX = {
  INGRESS: 46, // BPF_TCX_INGRESS
  EGRESS: 47, // BPF_TCX_EGRESS
} as const;

const BPF_PROG_QUERY = 16; // linux/bpf.h
const BPF_LINK_GET_NEXT_ID = 31; // linux/bpf.h

// union bpf_attr, linux/bpf.h. For BPF_LINK_GET_NEXT_ID: u32 start_id, next_id, open_flags. For BPF_PROG_QUERY: u32
// target_ifindex, attach_type, query_flags, attach_flags; u64 prog_ids; u32 count. The kernel ignores zeros behind them.
const ATTRIBUTES_BYTES = 64;
const COUNT_OFFSET = 24;

/*
 * Questions whose answer is usually no. They are asked without libbpf, because modes that do not use BPF ask them at every
 * start, and using the library takes up to 7 MB.
 */

/** Reports whether any program on the machine is attached by a link; false also without CAP_SYS_ADMIN. */
export function hasLinks(): boolean {
  return bpf(BPF_LINK_GET_NEXT_ID, new DataView(new ArrayBuffer(ATTRIBUTES_BYTES)));
}

/** Counts the programs attached to a device by links; 0 also without CAP_NET_ADMIN, and before Linux 6.6. */
export function countPrograms(ifindex: number, attachType: number): number {
  const attributes = new DataView(new ArrayBuffer(ATTRIBUTES_BYTES));
  attributes.setUint32(0, ifindex, true);
  attributes.setUint32(4, attachType, true);
  return bpf(BPF_PROG_QUERY, attributes) ? attributes.getUint32(COUNT_OFFSET, true) : 0;
}

function bpf(command: number, attributes: DataView<ArrayBuffer>): boolean {
  return libc().bpf(SYS_bpf, command, new Uint8Array(attributes.buffer), ATTRIBUTES_BYTES) === 0n;
}
