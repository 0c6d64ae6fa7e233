import { errnoOf } from "../errno.ts";
import { KernelError } from "../errors.ts";
import { NLM_F_ACK, NLM_F_REQUEST } from "./constants.ts";
import { attribute } from "./reader.ts";
import { request } from "./request.ts";
import type { NetlinkTransport } from "./transport.ts";
import { MessageWriter } from "./writer.ts";

/** struct genlmsghdr { __u8 cmd, version; __u16 reserved; } linux/genetlink.h */
export const GENL_HDRLEN = 4;

const GENL_ID_CTRL = 0x10; // linux/genetlink.h
const CTRL_VERSION = 2; // net/netlink/genetlink.c
const CTRL_CMD_GETFAMILY = 3; // linux/genetlink.h
const CTRL_ATTR_FAMILY_ID = 1; // linux/genetlink.h
const CTRL_ATTR_FAMILY_NAME = 2; // linux/genetlink.h

/** More than the question is long: a name has at most 15 characters. */
const REQUEST_BYTES = 64;

export function genlmsghdr(writer: MessageWriter, command: number, version: number): void {
  writer.rawU8(command);
  writer.rawU8(version);
  writer.rawU16le(0);
}

/**
 * The nlmsg_type of a family of generic netlink. When the family is not there, asking makes the kernel load the module
 * that says it has it.
 *
 * Not by libnl's genl_ctrl_resolve: it takes a second library in the binary, folds the kernel's refusals into codes of
 * its own, and would do no more than this one question.
 * @param advice what to do when the kernel does not have it, a full sentence.
 * @throws KernelError ENOENT when the kernel does not have it.
 */
export async function resolveFamily(
  transport: NetlinkTransport,
  name: string,
  seq: number,
  advice: string,
): Promise<number> {
  const operation = `find the generic netlink family ${name}`;
  const writer = new MessageWriter(REQUEST_BYTES);
  writer.begin(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, seq);
  genlmsghdr(writer, CTRL_CMD_GETFAMILY, CTRL_VERSION);
  writer.attrString(CTRL_ATTR_FAMILY_NAME, name);
  writer.end();
  try {
    const [answer] = await request(transport, writer, operation);
    const id = answer && attribute(answer.payload, CTRL_ATTR_FAMILY_ID, GENL_HDRLEN)?.u16le();
    if (id !== undefined) return id;
    throw new KernelError(operation, errnoOf("EPROTO"), { extack: "the kernel's answer has no id" });
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnoOf("ENOENT")) throw error;
    throw new KernelError(operation, error.errno, { extack: error.extack, advice, cause: error });
  }
}
