import { KernelError } from "../errors.ts";
import { libbpf } from "../libbpf.ts";

/** enum bpf_attach_type, linux/bpf.h, since Linux 6.6 */
export const BPF_TCX = {
  INGRESS: 46, // BPF_TCX_INGRESS
  EGRESS: 47, // BPF_TCX_EGRESS
} as const;

// struct bpf_prog_query_opts, bpf/bpf.h: size_t sz; u32 query_flags, attach_flags; u32 *prog_ids; u32 count.
const OPTIONS_BYTES = 32;
const COUNT_OFFSET = 24;

/**
 * Reports whether any programs are attached to a target: the index of a device for BPF_TCX. Takes CAP_NET_ADMIN.
 * @throws KernelError
 */
export function hasPrograms(target: number, attachType: number): boolean {
  const options = new DataView(new ArrayBuffer(OPTIONS_BYTES));
  options.setBigUint64(0, BigInt(OPTIONS_BYTES), true);
  const result = libbpf().bpf_prog_query_opts(target, attachType, new Uint8Array(options.buffer));
  if (result < 0) throw new KernelError("list the BPF programs of a device", -result);
  return options.getUint32(COUNT_OFFSET, true) > 0;
}
