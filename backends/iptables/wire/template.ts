import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import { type Expression, expression } from "../../nf_tables/expressions.ts";
import type { Extension } from "./xt.ts";

/**
 * Bytes of expressions, and where in them the value of the last one is. A rule is copies of a few templates with
 * such values filled in: a cluster has hundreds of thousands of rules, and they are written and compared in one go.
 * They are as the kernel lists them, in its order and without NLA_F_NESTED, so that reading back is comparing bytes.
 */
export interface Template {
  readonly bytes: Uint8Array;
  readonly hole: number;
}

/** @param valueBytes length of what the last expression ends in; 0 when nothing is to be filled in. */
export function template(valueBytes: number, ...expressions: readonly Expression[]): Template {
  const message = new MessageWriter(1024, { flagsNests: false });
  for (const write of expressions) write(message, 0);
  const bytes = message.bytes().slice();
  return { bytes, hole: bytes.length - ((valueBytes + 3) & ~3) };
}

/** A template for each number (a name's length, a prefix's), made when it is first needed. */
export function templates(make: (index: number) => Template): (index: number) => Template {
  const made: Template[] = [];
  return (index) => made[index] ??= make(index);
}

/** `-m name`: the hole is the whole structure. */
export function xtMatch(extension: Extension, fill: (info: DataView) => void = () => {}): Template {
  return template(
    extension.length,
    expression("match", (message) => {
      message.attrString(nft.NFTA_MATCH_NAME, extension.name);
      message.attrU32be(nft.NFTA_MATCH_REV, extension.revision);
      message.attrBytes(nft.NFTA_MATCH_INFO, infoOf(extension, fill));
    }),
  );
}

/** `-j NAME`, with the counter that precedes it: the hole is the whole structure. */
export function xtTarget(extension: Extension, fill: (info: DataView) => void = () => {}): Template {
  return template(
    extension.length,
    counter,
    expression("target", (message) => {
      message.attrString(nft.NFTA_TARGET_NAME, extension.name);
      message.attrU32be(nft.NFTA_TARGET_REV, extension.revision);
      message.attrBytes(nft.NFTA_TARGET_INFO, infoOf(extension, fill));
    }),
  );
}

/** Every rule of iptables counts, when all of its matches do match. */
export const counter: Expression = expression("counter", (message) => {
  message.attrU64be(nft.NFTA_COUNTER_BYTES, 0);
  message.attrU64be(nft.NFTA_COUNTER_PACKETS, 0);
});

function infoOf({ length }: Extension, fill: (info: DataView) => void): Uint8Array {
  const info = new Uint8Array(length);
  fill(new DataView(info.buffer));
  return info;
}
