import assert from "node:assert/strict";
import { FLOW_EVENT } from "../../../../../backends/ebpf/maps/layout.ts";
import { CLIENT, type Conversation, ENDPOINT } from "./conversation.ts";
import type { PacketNode } from "./packet_node.ts";

/** Checks the state of the only connection. */
export async function isIn(node: PacketNode, state: string): Promise<void> {
  const { states, assured, flows, unpaired } = await node.state();
  assert.deepEqual(states, [state]);
  const isAssured = state.includes("ASSURED");
  assert.deepEqual({ assured, flows, unpaired }, { assured: isAssured ? 2 : 0, flows: 2, unpaired: 0 });
}

export const SYN_SENT = "";
export const SYN_RECEIVED = "ANSWERED";
export const ESTABLISHED = "ANSWERED ASSURED";
export const CLIENT_RESET = "ANSWERED CLIENT_RESET ASSURED";
export const ENDPOINT_RESET = "ANSWERED ENDPOINT_RESET ASSURED";
export const CLIENT_FINISHED = "ANSWERED CLIENT_FINISHED ASSURED";
export const ENDPOINT_FINISHED = "ANSWERED ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST ASSURED";
export const CLOSED = "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED ASSURED";
export const TIME_WAIT = "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST ASSURED";

/** Both sequence numbers are correct behind the handshake. */
export const NEXT = { client: CLIENT + 1, endpoint: (ENDPOINT + 1) >>> 0 };
export const forged = 0x7000_0000;

/** Sends a segment with other numbers, and checks that it is forwarded and counted, and changes no state. */
export async function doesNotCount(
  node: PacketNode,
  connection: Conversation,
  segment: string,
  changes: { readonly seq?: number; readonly ack?: number },
): Promise<void> {
  const before = await node.state();
  await connection.send(segment, changes);
  const after = await node.state();
  assert.deepEqual(after.states, before.states, `${segment} ${JSON.stringify(changes)}`);
  assert.equal(after.events[FLOW_EVENT.INVALID_CLOSE], before.events[FLOW_EVENT.INVALID_CLOSE]! + 1);
}
