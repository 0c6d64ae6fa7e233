import { errnoOf } from "../../../ffi/errno.ts";
import { NLM_F_ACK, NLM_F_DUMP, NLMSG_DONE, NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";

const GENL_ID_CTRL = 0x10;
const IPVS = 0x20;

/**
 * A kernel with IPVS.
 * @param answer returns the name of the errno to reject a message with, or "" to accept it.
 */
export function fakeIpvs(answer: (message: NetlinkMessage) => string): FakeTransport {
  return new FakeTransport((sent) => {
    const answers = new MessageWriter();
    for (const message of messages(sent)) {
      const { type, flags, seq } = message;
      if (type === GENL_ID_CTRL) {
        answers.begin(GENL_ID_CTRL, 0, seq);
        answers.rawU32le(0x0201);
        answers.attrU16le(1, IPVS);
        answers.end();
      }
      const errno = type === IPVS ? answer(message) : "";
      if (errno === "" && (flags & NLM_F_ACK) === 0 && (flags & NLM_F_DUMP) !== NLM_F_DUMP) continue;
      answers.begin((flags & NLM_F_DUMP) === NLM_F_DUMP ? NLMSG_DONE : NLMSG_ERROR, 0x100, seq);
      answers.rawU32le(errno === "" ? 0 : -errnoOf(errno) >>> 0);
      for (const value of [16, type, seq, 0]) answers.rawU32le(value);
      answers.end();
    }
    return answers.length === 0 ? [] : [answers.bytes().slice()];
  });
}
