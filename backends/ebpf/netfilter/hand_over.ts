import {
  type TranslatedFlow,
  writeCreate,
  writeDeleteByOriginal,
  writeDeleteByReply,
} from "../../conntrack/translated_flow.ts";
import type { BpfMap, MapDefinition } from "../../../ffi/bpf/map.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import { translatedChunks } from "../maps/copy_entries.ts";
import { FLOW, FLOW_STATE, OFFSET, readTuple, SETTING, SIZE } from "../maps/layout.ts";
import { memberOffsets } from "../maps/member_offsets.ts";
import { changeFlags } from "../maps/node_settings.ts";
import { openObject } from "../programs/objects.ts";

/** Maps that the hand-over uses. */
export const HANDED_OVER_MAPS = ["node_settings", "conntrack", "conntrack_udp", "conntrack_new"] as const;

/** The maps of one version and of its capacities. */
export interface MapsOfVersion<Name extends string> {
  readonly maps: Readonly<Record<Name, BpfMap>>;
  /** Their structs are those of this version. */
  readonly isThisLayout: boolean;
}

export type HandedOverMaps = MapsOfVersion<typeof HANDED_OVER_MAPS[number]>;

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
 * @returns false if the maps are of another version whose types the kernel does not know.
 * @throws KernelError EPERM if these types may not be read (CAP_SYS_ADMIN).
 */
export async function handOverFlows({ maps, isThisLayout }: HandedOverMaps): Promise<boolean> {
  const { node_settings, conntrack, conntrack_udp, conntrack_new } = maps;
  const at = isThisLayout ? OFFSET.settings : memberOffsets(node_settings.definition().value, SETTINGS);
  if (at === undefined) return false;
  const timeouts = leaveNewFlows(node_settings, at);
  if (timeouts === undefined) return true;
  using client = NetlinkClient.open(NETLINK_NETFILTER);
  let remaining: readonly TranslatedFlow[] = [conntrack, conntrack_udp, conntrack_new].flatMap((map) =>
    isThisLayout ? flowsIn(map, timeouts) : flowsOfOtherVersion(map, timeouts)
  );
  for (let attempt = 1; remaining.length > 0 && attempt <= ATTEMPTS; attempt++) {
    if (attempt > 1) await client.pipeline(remaining, writeDeleteByOriginal);
    if (attempt > 1) await client.pipeline(remaining, writeDeleteByReply);
    remaining = (await client.pipeline(remaining, writeCreate)).map(({ command }) => command);
  }
  return true;
}

interface Timeouts {
  readonly tcp: number;
  readonly closing: number;
  readonly udp: number;
  readonly udpStream: number;
}

/** Members of `struct settings` that are used here. */
const SETTINGS = [
  "flags",
  "tcp_established_seconds",
  "tcp_closing_seconds",
  "udp_seconds",
  "udp_stream_seconds",
] as const;

/** @returns the idle timeouts; undefined if the settings were never written. */
function leaveNewFlows(
  nodeSettings: BpfMap,
  at: Readonly<Record<typeof SETTINGS[number], number>>,
): Timeouts | undefined {
  const view = changeFlags(nodeSettings, { set: SETTING.LEAVE_NEW_FLOWS }, at.flags);
  if (view === undefined) return undefined;
  return {
    tcp: view.getUint32(at.tcp_established_seconds, true),
    closing: view.getUint32(at.tcp_closing_seconds, true),
    udp: view.getUint32(at.udp_seconds, true),
    udpStream: view.getUint32(at.udp_stream_seconds, true),
  };
}

/** Timeout of a TCP connection that is not established: SYN_SENT_SECONDS in bpf/flows/conntrack.h */
const OPENING_SECONDS = 120;

function flowsIn(conntrack: BpfMap, timeouts: Timeouts): readonly TranslatedFlow[] {
  const flows: TranslatedFlow[] = [];
  conntrack.forEach((keys, key, values, value) => {
    const flow = readFlow(keys, key, values, value, timeouts);
    if (flow !== undefined) flows.push(flow);
  });
  return flows;
}

function flowsOfOtherVersion(conntrack: BpfMap, timeouts: Timeouts): readonly TranslatedFlow[] {
  const flows: TranslatedFlow[] = [];
  const from = { map: conntrack, definition: conntrack.definition() };
  for (const { keys, values, count } of translatedChunks(from, definitionOfFlows())) {
    for (let index = 0; index < count; index++) {
      const flow = readFlow(keys, index * SIZE.tuple, values, index * SIZE.flow, timeouts);
      if (flow !== undefined) flows.push(flow);
    }
  }
  return flows;
}

/** The definition of the maps of flows in this version. */
function definitionOfFlows(): MapDefinition {
  using object = openObject("tc");
  return object.definition("conntrack");
}

/** @returns undefined for the entry of the other direction, and for a flow that is over. */
function readFlow(
  keys: DataView<ArrayBuffer>,
  key: number,
  values: DataView<ArrayBuffer>,
  value: number,
  timeouts: Timeouts,
): TranslatedFlow | undefined {
  const flags = values.getUint32(value + OFFSET.flow.flags, true);
  const state = values.getUint32(value + OFFSET.flow.state, true);
  const tuple = readTuple(keys, key);
  const translated = readTuple(values, value + OFFSET.flow.translated);
  if (flags & FLOW.REPLY || (tuple.protocol !== IPPROTO_TCP && tuple.protocol !== IPPROTO_UDP)) {
    return undefined;
  }
  const finished = state & (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED);
  const isClosed = finished === (FLOW_STATE.CLIENT_FINISHED | FLOW_STATE.ENDPOINT_FINISHED);
  if (isClosed || state & (FLOW_STATE.CLIENT_RESET | FLOW_STATE.ENDPOINT_RESET)) return undefined;
  const isAssured = (state & FLOW_STATE.ASSURED) !== 0;
  return {
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
  };
}
