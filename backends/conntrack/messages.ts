import { NLA_F_NESTED, NLM_F_DUMP, NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import { attributes } from "../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { nfgenmsg, NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import * as ct from "./ctnetlink.ts";
import type { Flow } from "./flow.ts";

/** Entries to include in a dump. Old kernels ignore everything except the family. */
export interface DumpFilter {
  /** AF_INET or AF_INET6. */
  readonly family: number;
  readonly protocol?: number;
  /** Bits of IPS_…, and their required values. */
  readonly status?: { readonly mask: number; readonly value: number };
}

/** `conntrack -L`, filtered by the kernel. */
export function writeDump(writer: MessageWriter, seq: number, filter: DumpFilter): void {
  const { family, protocol, status } = filter;
  writer.begin(ct.CT_GET, NLM_F_REQUEST | NLM_F_DUMP, seq);
  nfgenmsg(writer, family, 0);
  if (protocol !== undefined) {
    writer.nest(ct.CTA_TUPLE_ORIG, () => {
      writer.nest(ct.CTA_TUPLE_PROTO, () => writer.attrU8(ct.CTA_PROTO_NUM, protocol));
    });
    writer.nest(ct.CTA_FILTER, () => {
      writer.attrU32le(ct.CTA_FILTER_ORIG_FLAGS, ct.CTA_FILTER_F_CTA_PROTO_NUM);
    });
  }
  if (status !== undefined) {
    writer.attrU32be(ct.CTA_STATUS, status.value);
    writer.attrU32be(ct.CTA_STATUS_MASK, status.mask);
  }
  writer.end();
}

/**
 * `conntrack -D` for one entry, identified by its original tuple, its zone and its id, which rarely matches another
 * entry with the same tuple. Without acknowledgement: the kernel answers only rejections.
 */
export function writeDelete(writer: MessageWriter, seq: number, { family, payload }: Flow): void {
  writer.begin(ct.CT_DELETE, NLM_F_REQUEST, seq);
  nfgenmsg(writer, family, 0);
  for (const { type, bytes } of attributes(payload, NFGENMSG_BYTES)) {
    if (type === ct.CTA_TUPLE_ORIG) writer.attrBytes(type | NLA_F_NESTED, bytes);
    if (type === ct.CTA_ZONE || type === ct.CTA_ID) writer.attrBytes(type, bytes);
  }
  writer.end();
}
