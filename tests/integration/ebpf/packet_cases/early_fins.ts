import assert from "node:assert/strict";
import { DROP } from "../../../../backends/ebpf/maps/layout.ts";
import { planOf } from "../../../backends/plans.ts";
import {
  CLIENT_FINISHED,
  CLOSED,
  ENDPOINT_FINISHED,
  ESTABLISHED,
  forged,
  isIn,
  NEXT,
  SYN_RECEIVED,
  SYN_SENT,
  TIME_WAIT,
} from "../support/packets/connection_states.ts";
import { CLIENT, Conversation } from "../support/packets/conversation.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";

/** FINs of connections that are not assured yet, because their handshake was not seen or is forgotten. */
export const earlyFinCases: Cases = {
  "a connection that is found again when the client closes it": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client FA");
    await isIn(node, "CLIENT_FINISHED");
    await connection.send("endpoint FA");
    await isIn(node, "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED");
    await connection.send("client A");
    await isIn(node, CLOSED);
    // It is in the queue of closed connections.
    await node.age(11);
    await new Conversation(node, 11).send("client S");
    assert.deepEqual((await node.state()).states, [SYN_SENT]);
  },

  "a connection that is found again, and whose endpoint closes first": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client PA", { bytes: 100 });
    await connection.send("endpoint FPA", { bytes: 100 });
    await isIn(node, "ANSWERED ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST");
    await connection.send("endpoint FPA", { seq: (NEXT.endpoint - 1) >>> 0, bytes: 100 });
    await connection.send("client FA");
    await isIn(node, TIME_WAIT);
  },

  "a connection that is found again, and whose client closes before the endpoint answers": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client PA", { bytes: 100 });
    await connection.send("client FA");
    await connection.send("endpoint A");
    await connection.send("client A");
    await isIn(node, CLIENT_FINISHED);
    await connection.send("endpoint FA");
    await isIn(node, CLOSED);
  },

  "a closed connection that is not assured makes room for another one of the client": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client FA");
    await connection.send("endpoint FA");
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
  },

  "a SYN, and the endpoint's answer to it, begin without the FINs before them": async (node) => {
    let connection = await Conversation.of(node);
    await connection.send("client FA");
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
    connection = await Conversation.of(node, "client S");
    await connection.send("endpoint FA", { seq: forged, ack: CLIENT });
    await connection.send("endpoint SA");
    await connection.send("client A");
    await isIn(node, ESTABLISHED);
  },

  "segments that a FIN of the endpoint has overtaken do not refute it, data behind it does": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client A");
    await connection.send("endpoint FPA", { seq: (NEXT.endpoint + 1000) >>> 0, bytes: 500 });
    await connection.send("endpoint A", { seq: NEXT.endpoint, bytes: 500 });
    await connection.send("endpoint A", { seq: (NEXT.endpoint + 500) >>> 0, bytes: 500 });
    await connection.send("client A", { ack: (NEXT.endpoint + 1501) >>> 0 });
    await isIn(node, ENDPOINT_FINISHED);
    const other = await Conversation.of(node);
    await other.send("client A");
    await other.send("endpoint FA", { seq: NEXT.endpoint });
    await other.send("endpoint A", { seq: NEXT.endpoint, bytes: 500 });
    await isIn(node, SYN_RECEIVED);
  },

  "the client's first packet may be a FIN that has overtaken data": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("client FA", { seq: NEXT.client + 1000 });
    await connection.send("client A", { seq: NEXT.client, bytes: 1000 });
    await isIn(node, CLIENT_FINISHED);
  },

  "a FIN that does not belong to the connection does not count before it is assured": async (node) => {
    let connection = await Conversation.of(node, "client S");
    for (const ack of [CLIENT - 1, CLIENT + 2, forged]) await connection.send("endpoint FA", { seq: 7, ack });
    for (const seq of [CLIENT - 1, CLIENT + 2, forged]) await connection.send("client FA", { seq });
    await isIn(node, SYN_SENT);
    connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("client F", { seq: NEXT.client });
    await isIn(node, SYN_RECEIVED);
    await node.evict("replies");
    await connection.send("client FA", { seq: NEXT.client + 1 });
    await isIn(node, SYN_SENT);
  },

  "a FIN without the other direction, before the connection is assured": async (node) => {
    let connection = await Conversation.of(node, "client S", "endpoint SA");
    await node.evict("replies");
    await connection.send("client FA", { ack: NEXT.endpoint });
    await isIn(node, "CLIENT_FINISHED");
    await connection.send("endpoint FA");
    await connection.send("client A");
    await isIn(node, CLOSED);
    connection = await Conversation.of(node, "client S", "endpoint SA");
    await node.evict("requests");
    await connection.send("endpoint FA");
    await isIn(node, "ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST");
  },

  "data without the other direction is acknowledged": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await node.evict("replies");
    await connection.send("client PA", { bytes: 100 });
    await connection.send("endpoint FPA", { bytes: 100 });
    await connection.send("client A");
    await isIn(node, ENDPOINT_FINISHED);
  },

  "a FIN of the client whose own direction was evicted counts if it acknowledges what the endpoint has sent":
    async (node) => {
      for (
        const [handshake, state] of [[["client A"], CLIENT_FINISHED], [
          [],
          "ANSWERED CLIENT_FINISHED",
        ]] as const
      ) {
        const segments = ["client S", "endpoint SA", ...handshake];
        const connection = await Conversation.of(node, ...segments);
        await node.evict("requests");
        await connection.send("client FA");
        await isIn(node, state);
        const forgery = await Conversation.of(node, ...segments);
        await node.evict("requests");
        await forgery.send("client FA", { ack: forged });
        await isIn(node, state.replace(" CLIENT_FINISHED", ""));
      }
    },

  "connections whose handshake a flood has evicted give up their ports when they end": async (node) => {
    const ports = 20;
    const service = planOf({ nodePort: 30080, endpoints: ["10.1.0.1:8080"] });
    await node.program([service], { map: { firstPort: 61000, lastPort: 61000 + ports - 1 } });
    const before = await node.state();
    for (let index = 0; index < ports + 5; index++) {
      await endsAfterEviction(node, 40000 + index);
      await node.age(1);
    }
    assert.equal((await node.state()).drops[DROP.NO_PORT], before.drops[DROP.NO_PORT]);
  },
};

/** A short connection from outside, whose flow is forgotten between its handshake and its first data. */
async function endsAfterEviction(node: PacketNode, port: number): Promise<void> {
  const client = (segment: string) =>
    node.ingress(`IP(src="192.168.8.9", dst="192.168.8.1")/TCP(sport=${port}, dport=30080, ${segment}`);
  const sourceOf = async ({ packet }: { readonly packet: string }) =>
    Number(/sport *= (\d+)/.exec(await node.show(packet))?.[1]);
  const endpoint = (to: number, segment: string) =>
    node.ingress(`IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=${to}, ${segment}`, {
      device: "pod0",
    });
  const first = await sourceOf(await client(`flags="S", seq=1000)`));
  await endpoint(first, `flags="SA", seq=5000, ack=1001)`);
  await node.forgetNew();
  const second = await sourceOf(await client(`flags="PA", seq=1001, ack=5001)/(b"x" * 100)`));
  await endpoint(second, `flags="FPA", seq=5001, ack=1101)/(b"x" * 100)`);
  await client(`flags="FA", seq=1101, ack=5102)`);
  await endpoint(second, `flags="A", seq=5102, ack=1102)`);
}
