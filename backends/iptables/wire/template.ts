import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import { type Expression, expression } from "../../nf_tables/expressions.ts";
import type { Extension } from "./xt.ts";

/**
 * The bytes of some expressions, the last of which ends with a value to fill in. A rule is written as copies
 * of a few templates with their values, because a cluster has hundreds of thousands of rules. The attributes
 * are as the kernel lists them, in its order and without NLA_F_NESTED, so that a rule that is read back can
 * be compared byte by byte.
 */
export interface Template {
  readonly bytes: Uint8Array;
  /** The offset of the value. */
  readonly hole: number;
}

/** @param valueBytes the length of the value; 0 if there is none to fill in. */
export function template(valueBytes: number, ...expressions: readonly Expression[]): Template {
  const message = new MessageWriter(1024, { nestedFlag: false });
  for (const write of expressions) write(message, 0);
  const bytes = message.bytes().slice();
  return { bytes, hole: bytes.length - ((valueBytes + 3) & ~3) };
}

/** Templates by a number (the length of a name or of a prefix), each made on its first use. */
export function templates(make: (index: number) => Template): (index: number) => Template {
  const made: Template[] = [];
  return (index) => made[index] ??= make(index);
}

/** `-m name`. The value is the whole structure of the extension. */
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

/** `-j NAME` with the counter in front. The value is the whole structure of the extension. */
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

/** The counter of a rule, behind all its matches. Every rule of iptables has one. */
export const counter: Expression = expression("counter", (message) => {
  message.attrU64be(nft.NFTA_COUNTER_BYTES, 0);
  message.attrU64be(nft.NFTA_COUNTER_PACKETS, 0);
});

function infoOf({ length }: Extension, fill: (info: DataView) => void): Uint8Array {
  const info = new Uint8Array(length);
  fill(new DataView(info.buffer));
  return info;
}
