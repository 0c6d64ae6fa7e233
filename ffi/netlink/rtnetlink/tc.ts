import { AF_UNSPEC } from "../../inet.ts";
import { NLM_F_ACK, NLM_F_CREATE, NLM_F_DUMP, NLM_F_EXCL, NLM_F_REQUEST } from "../constants.ts";
import { attribute } from "../reader.ts";
import type { MessageWriter } from "../writer.ts";
import * as rt from "./constants.ts";

/** Identifies a filter of a device. */
export interface FilterId {
  /** Index of the device. */
  readonly index: number;
  /** TC_H_CLSACT_INGRESS or TC_H_CLSACT_EGRESS. */
  readonly parent: number;
  /** Order among the filters of the parent. */
  readonly priority: number;
  readonly handle: number;
}

/** `tc qdisc add dev … clsact` */
export function writeNewClsact(message: MessageWriter, seq: number, index: number): void {
  message.begin(rt.RTM_NEWQDISC, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE | NLM_F_EXCL, seq);
  tcmsg(message, index, rt.TC_H_CLSACT_HANDLE, rt.TC_H_CLSACT, 0);
  message.attrString(rt.TCA_KIND, "clsact");
  message.end();
}

/** `tc filter replace dev … ingress|egress prio … handle … bpf direct-action fd …` */
export function writeReplaceBpfFilter(
  message: MessageWriter,
  seq: number,
  filter: FilterId,
  program: { readonly fd: number; readonly name: string },
): void {
  message.begin(rt.RTM_NEWTFILTER, NLM_F_REQUEST | NLM_F_ACK | NLM_F_CREATE, seq);
  filterHeader(message, filter);
  message.nest(rt.TCA_OPTIONS, () => {
    message.attrU32le(rt.TCA_BPF_FD, program.fd);
    message.attrString(rt.TCA_BPF_NAME, program.name);
    message.attrU32le(rt.TCA_BPF_FLAGS, rt.TCA_BPF_FLAG_ACT_DIRECT);
  });
  message.end();
}

/** `tc filter delete dev … ingress|egress prio … handle … bpf` */
export function writeDeleteBpfFilter(message: MessageWriter, seq: number, filter: FilterId): void {
  message.begin(rt.RTM_DELTFILTER, NLM_F_REQUEST | NLM_F_ACK, seq);
  filterHeader(message, filter);
  message.end();
}

/** A queueing discipline of a device. */
export interface Qdisc {
  /** Index of the device. */
  readonly index: number;
  /** "noqueue", "fq_codel", "clsact", … */
  readonly kind: string;
}

/** `tc qdisc show` */
export function writeDumpQdiscs(message: MessageWriter, seq: number): void {
  message.begin(rt.RTM_GETQDISC, NLM_F_REQUEST | NLM_F_DUMP, seq);
  tcmsg(message, 0, 0, 0, 0);
  message.end();
}

/** Decodes the payload of RTM_NEWQDISC. */
export function decodeQdisc(payload: Uint8Array): Qdisc {
  return {
    index: deviceOfFilter(payload),
    kind: attribute(payload, rt.TCA_KIND, rt.TCMSG_BYTES)?.string() ?? "",
  };
}

/** `tc filter show dev … ingress|egress`. @param parent TC_H_CLSACT_INGRESS or TC_H_CLSACT_EGRESS. */
export function writeDumpFilters(message: MessageWriter, seq: number, index: number, parent: number): void {
  message.begin(rt.RTM_GETTFILTER, NLM_F_REQUEST | NLM_F_DUMP, seq);
  tcmsg(message, index, 0, parent, 0);
  message.end();
}

/** Order of the filter in the payload of RTM_NEWTFILTER among those of its parent. */
export function priorityOfFilter(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getUint16(rt.TCMSG_INFO + 2, true);
}

/** Index of the device in the payload of notifications about qdiscs and filters. */
export function deviceOfFilter(payload: Uint8Array): number {
  return new DataView(payload.buffer, payload.byteOffset).getInt32(rt.TCMSG_IFINDEX, true);
}

function filterHeader(message: MessageWriter, { index, parent, priority, handle }: FilterId): void {
  // TC_H_MAKE(priority << 16, htons(protocol))
  tcmsg(message, index, handle, parent, priority * 0x10000 + (rt.ETH_P_ALL << 8));
  message.attrString(rt.TCA_KIND, "bpf");
}

/** Writes a struct tcmsg. */
function tcmsg(message: MessageWriter, index: number, handle: number, parent: number, info: number): void {
  for (const field of [AF_UNSPEC, index, handle, parent, info]) message.rawU32le(field);
}
