import { errnoOf } from "../errno.ts";
import { KernelError, type KernelErrorDetails } from "../errors.ts";
import { NLM_F_ACK, NLM_F_REQUEST } from "./constants.ts";
import type { NetlinkClient } from "./client.ts";
import { attribute } from "./reader.ts";
import type { MessageWriter } from "./writer.ts";

/** struct genlmsghdr { __u8 cmd, version; __u16 reserved; } linux/genetlink.h */
export const GENL_HDRLEN = 4;

const GENL_ID_CTRL = 0x10; // linux/genetlink.h
const CTRL_VERSION = 2; // net/netlink/genetlink.c
const CTRL_CMD_GETFAMILY = 3; // linux/genetlink.h
const CTRL_ATTR_FAMILY_ID = 1; // linux/genetlink.h
const CTRL_ATTR_FAMILY_NAME = 2; // linux/genetlink.h

export function genlmsghdr(writer: MessageWriter, command: number, version: number): void {
  writer.rawU8(command);
  writer.rawU8(version);
  writer.rawU16le(0);
}

/**
 * Finds the nlmsg_type of a generic netlink family. If the family is missing, the request makes the kernel load the module
 * that declares it.
 *
 * libnl's genl_ctrl_resolve sends the same request, but needs a second library in the binary and maps the kernel's
 * errnos to codes of its own.
 * @param remedy what to do if the kernel lacks the family.
 * @throws KernelError ENOENT if the kernel lacks the family.
 */
export async function resolveFamily(
  client: NetlinkClient,
  name: string,
  remedy: Pick<KernelErrorDetails, "advice" | "fix">,
): Promise<number> {
  const operation = `find the generic netlink family ${name}`;
  try {
    const [answer] = await client.request(operation, (message, seq) => {
      message.begin(GENL_ID_CTRL, NLM_F_REQUEST | NLM_F_ACK, seq);
      genlmsghdr(message, CTRL_CMD_GETFAMILY, CTRL_VERSION);
      message.attrString(CTRL_ATTR_FAMILY_NAME, name);
      message.end();
    });
    const id = answer && attribute(answer.payload, CTRL_ATTR_FAMILY_ID, GENL_HDRLEN)?.u16le();
    if (id !== undefined) return id;
    throw new KernelError(operation, errnoOf("EPROTO"), { extack: "the kernel's answer contains no id" });
  } catch (error) {
    if (!(error instanceof KernelError) || error.errno !== errnoOf("ENOENT")) throw error;
    throw new KernelError(operation, error.errno, { extack: error.extack, ...remedy, cause: error });
  }
}
