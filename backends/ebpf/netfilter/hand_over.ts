import {
  type TranslatedFlow,
  writeCreate,
  writeDeleteByOriginal,
  writeDeleteByReply,
} from "../../conntrack/translated_flow.ts";
import type { BpfMap } from "../../../ffi/bpf/map.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { FLOW, FLOW_STATE, OFFSET, readTuple, SETTING } from "../maps/layout.ts";
import { changeFlags } from "../maps/node_settings.ts";

/** Maps that the hand-over uses. */
export const HANDED_OVER_MAPS = ["node_settings", "conntrack", "conntrack_udp", "conntrack_new"] as const;

export type HandedOverMaps = Readonly<Record<typeof HANDED_OVER_MAPS[number], BpfMap>>;

/**
 * Attempts to create an entry. Netfilter may have another entry with a tuple of the flow: of an earlier connection with
 * the same ports, or of the same packets behind their translation, if the endpoint is on the node itself. It is deleted
 * first, and a packet may create it again.
 */
const ATTEMPTS = 3;

/**
 * Creates netfilter's entries of the flows of packets, so that connections outlive the programs that translate them.
 * From now on new flows are left to netfilter, so that no flow begins behind the back of this function. Called when
 * the rules of another mode are in force, before the programs are detached.
 * @throws KernelError
 */
export async function handOverFlows(
  { node_settings, conntrack, conntrack_udp, conntrack_new }: HandedOverMaps,
): Promise<void> {
  const timeouts = leaveNewFlows(node_settings);
  if (timeouts === undefined) return;
  using client = NetlinkClient.open(NETLINK_NETFILTER);
  let remaining = [conntrack, conntrack_udp, conntrack_new].flatMap((map) => flowsIn(map, timeouts));
  for (let attempt = 1; remaining.length > 0 && attempt <= ATTEMPTS; attempt++) {
    if (attempt > 1) await client.pipeline(remaining, writeDeleteByOriginal);
    if (attempt > 1) await client.pipeline(remaining, writeDeleteByReply);
    remaining = (await client.pipeline(remaining, writeCreate)).map(({ command }) => command);
  }
}

interface Timeouts {
  readonly tcp: number;
  readonly closing: number;
  readonly udp: number;
  readonly udpStream: number;
}

/** @returns the idle timeouts; undefined if the settings were never written. */
function leaveNewFlows(nodeSettings: BpfMap): Timeouts | undefined {
  const view = changeFlags(nodeSettings, { set: SETTING.LEAVE_NEW_FLOWS });
  if (view === undefined) return undefined;
  const at = OFFSET.settings;
  return {
    tcp: view.getUint32(at.tcp_established_seconds, true),
    closing: view.getUint32(at.tcp_closing_seconds, true),
    udp: view.getUint32(at.udp_seconds, true),
    udpStream: view.getUint32(at.udp_stream_seconds, true),
  };
}

/** Timeout of a TCP connection that is not established: SYN_SENT_SECONDS in bpf/conntrack.h */
const OPENING_SECONDS = 120;

function flowsIn(conntrack: BpfMap, timeouts: Timeouts): TranslatedFlow[] {
  const flows: TranslatedFlow[] = [];
  conntrack.forEach((keys, key, values, value) => {
    const flags = values.getUint32(value + OFFSET.flow.flags, true);
    const state = values.getUint32(value + OFFSET.flow.state, true);
    const tuple = readTuple(keys, key);
    const translated = readTuple(values, value + OFFSET.flow.translated);
    if (flags & FLOW.REPLY || (tuple.protocol !== IPPROTO_TCP && tuple.protocol !== IPPROTO_UDP)) return;
    const finished = state & (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED);
    const isClosed = finished === (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED);
    if (isClosed || state & (FLOW_STATE.CLIENT_RESET | FLOW_STATE.ENDPOINT_RESET)) return;
    const isAssured = (state & FLOW_STATE.ASSURED) !== 0;
    flows.push({
      protocol: tuple.protocol,
      source: { address: tuple.source, port: tuple.sourcePort },
      destination: { address: tuple.destination, port: tuple.destinationPort },
      translatedSource: { address: translated.source, port: translated.sourcePort },
      translatedDestination: { address: translated.destination, port: translated.destinationPort },
      hasReplied: (state & FLOW_STATE.ANSWERED) !== 0,
      isAssured,
      isClosing: finished !== 0,
      timeoutSeconds: tuple.protocol === IPPROTO_UDP
        ? isAssured ? timeouts.udpStream : timeouts.udp
        : !isAssured
        ? OPENING_SECONDS
        : finished !== 0
        ? timeouts.closing
        : timeouts.tcp,
    });
  });
  return flows;
}
