import type { Protocol } from "../../../core/net/protocol.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import * as nft from "../../nf_tables/constants.ts";
import { compare, destinationPort, meta } from "../../nf_tables/expressions.ts";
import { u32le } from "../../nf_tables/set/keys.ts";
import type { ConntrackState, Match } from "../rules/rule.ts";
import { maskedBy, operator } from "./fields.ts";
import { type Template, template, xtMatch } from "./template.ts";
import * as xt from "./xt.ts";

/**
 * Writes `-m …` as iptables-nft 1.8.9 does: native expressions for marks and for ports of TCP and UDP,
 * x_tables extensions for the rest. Older versions can list the native ones, but some of them write
 * extensions instead.
 * @param protocol the rule's protocol, required for matches of ports.
 * @throws RangeError when a text is too long.
 */
export function writeMatch(message: MessageWriter, protocol: Protocol | undefined, match: Match): void {
  switch (match.match) {
    case "comment":
      return writeText(message, comment, 0, match.text, xt.comment.length);
    case "protocol":
      message.rawBytes(anyPort[required(protocol)].bytes);
      return;
    case "dport":
      return writePort(message, required(protocol), match.port);
    case "ctstate": {
      const { bytes, hole } = match.inverted ? stateIsNot : stateIs;
      return message.patchU16le(
        message.rawBytes(bytes) + hole + xt.conntrack.state_mask,
        stateMask(match.states),
      );
    }
    case "mark":
      return writeMark(message, match);
    case "addrtype":
      message.rawBytes((match.of === "source" ? fromLocal : toLocal).bytes);
      return;
    case "statistic":
      return writeProbability(message, match.probability);
    case "recent-set":
      return writeText(message, recentSet, xt.recent.list, match.name, xt.XT_RECENT_NAME_LEN);
    case "recent-check": {
      const at = message.length + recentCheck.hole + xt.recent.seconds;
      writeText(message, recentCheck, xt.recent.list, match.name, xt.XT_RECENT_NAME_LEN);
      return message.patchU32le(at, match.seconds);
    }
    case "nfacct":
      return writeText(message, nfacct, 0, match.name, xt.NFACCT_NAME_MAX);
  }
}

const comment = xtMatch(xt.comment);
const nfacct = xtMatch(xt.nfacct);

/**
 * Fills a NUL-terminated text into a character array of the structure: at offset `field`, of `size`
 * characters.
 */
function writeText(
  message: MessageWriter,
  match: Template,
  field: number,
  text: string,
  size: number,
): void {
  if (text.length >= size) {
    throw new RangeError(
      `iptables: "${text}" has ${text.length} characters, but at most ${size - 1} are allowed`,
    );
  }
  message.patchLatin1(message.rawBytes(match.bytes) + match.hole + field, text);
}

const anyPort = {
  TCP: xtMatch(xt.tcp, allPorts),
  UDP: xtMatch(xt.udp, allPorts),
  SCTP: xtMatch(xt.sctp, noChunks),
} as const satisfies Record<Protocol, Template>;

const sctpPort = xtMatch(xt.sctp, (info) => {
  noChunks(info);
  info.setUint32(xt.sctp.flags, xt.XT_SCTP_DEST_PORTS, true);
});

const nativePort = template(2, destinationPort.load(0), compare("==", "\0\0"));

function writePort(message: MessageWriter, protocol: Protocol, port: number): void {
  if (protocol === "SCTP") {
    const at = message.rawBytes(sctpPort.bytes) + sctpPort.hole + xt.sctp.dpts;
    message.patchU16le(at, port);
    message.patchU16le(at + 2, port);
  } else {
    message.patchU16be(message.rawBytes(nativePort.bytes) + nativePort.hole, port);
  }
}

/** Fills struct xt_tcp or struct xt_udp, which begin with the same fields. */
function allPorts(info: DataView): void {
  info.setUint16(xt.tcp.spts + 2, 0xffff, true);
  info.setUint16(xt.tcp.dpts + 2, 0xffff, true);
}

function noChunks(info: DataView): void {
  for (let flag = 0; flag < xt.XT_NUM_SCTP_FLAGS; flag++) {
    info.setUint8(xt.sctp.flag_info + flag * 3, xt.NO_CHUNK_TYPE);
  }
}

function required(protocol: Protocol | undefined): Protocol {
  if (protocol === undefined) throw new TypeError("iptables: a rule that matches ports needs a protocol");
  return protocol;
}

const stateIs = states(false);
const stateIsNot = states(true);

function states(inverted: boolean): Template {
  return xtMatch(xt.conntrack, (info) => {
    info.setUint16(xt.conntrack.match_flags, xt.XT_CONNTRACK_STATE, true);
    info.setUint16(xt.conntrack.invert_flags, inverted ? xt.XT_CONNTRACK_STATE : 0, true);
  });
}

const STATE_BITS = {
  INVALID: xt.XT_CONNTRACK_STATE_INVALID,
  NEW: xt.XT_CONNTRACK_STATE_NEW,
  RELATED: xt.XT_CONNTRACK_STATE_RELATED,
  ESTABLISHED: xt.XT_CONNTRACK_STATE_ESTABLISHED,
  DNAT: xt.XT_CONNTRACK_STATE_DNAT,
} as const satisfies Record<ConntrackState, number>;

function stateMask(states: readonly ConntrackState[]): number {
  return states.reduce((mask, state) => mask | STATE_BITS[state], 0);
}

/** Builds the expressions on every call, because few rules match the mark. */
function writeMark(
  message: MessageWriter,
  { value, mask, inverted }: { readonly value: number; readonly mask: number; readonly inverted: boolean },
): void {
  const load = meta(nft.NFT_META_MARK).load(0);
  const test = compare(operator(inverted), u32le(value));
  const masks = mask >>> 0 === 0xffffffff ? [] : [maskedBy(u32le(mask))];
  message.rawBytes(template(0, load, ...masks, test).bytes);
}

const fromLocal = xtMatch(
  xt.addrtype,
  (info) => info.setUint16(xt.addrtype.source, xt.XT_ADDRTYPE_LOCAL, true),
);
const toLocal = xtMatch(xt.addrtype, (info) => info.setUint16(xt.addrtype.dest, xt.XT_ADDRTYPE_LOCAL, true));

const statistic = xtMatch(xt.statistic);

function writeProbability(message: MessageWriter, probability: number): void {
  const at = message.rawBytes(statistic.bytes) + statistic.hole;
  const share = Math.round(probability * xt.CERTAINTY);
  message.patchU32le(at + xt.statistic.probability, share);
  // The kernel ignores `count` in this mode, but iptables fills it with the same value.
  message.patchU32le(at + xt.statistic.count, share);
}

const recentSet = recent(xt.XT_RECENT_SET);
const recentCheck = recent(xt.XT_RECENT_CHECK | xt.XT_RECENT_REAP);

function recent(checkSet: number): Template {
  return xtMatch(xt.recent, (info) => {
    info.setUint8(xt.recent.check_set, checkSet);
    for (let word = 0; word < 4; word++) info.setUint32(xt.recent.mask + word * 4, 0xffffffff);
  });
}
