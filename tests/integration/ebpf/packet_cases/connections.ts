import assert from "node:assert/strict";
import { FLOW_EVENT } from "../../../../backends/ebpf/maps/layout.ts";
import {
  CLIENT_RESET,
  doesNotCount,
  ESTABLISHED,
  forged,
  isIn,
  NEXT,
  SYN_RECEIVED,
  SYN_SENT,
} from "../support/packets/connection_states.ts";
import { CLIENT, Conversation, ENDPOINT } from "../support/packets/conversation.ts";
import type { Cases } from "../support/packets/packet_node.ts";

/** How TCP connections are established, and go on (docs/ebpf-packets.md). */
export const connectionCases: Cases = {
  "a connection is established when the client acknowledges the endpoint's number": async (node) => {
    const connection = await Conversation.of(node, "client S");
    await isIn(node, SYN_SENT);
    await connection.send("endpoint SA");
    await isIn(node, SYN_RECEIVED);
    await connection.send("client A");
    await isIn(node, ESTABLISHED);
    const { events } = await node.state();
    assert.deepEqual([events[FLOW_EVENT.CREATED], events[FLOW_EVENT.ASSURED]], [1, 1]);
  },

  "a client that cannot see the endpoint's number establishes nothing": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("client P", { seq: NEXT.client, bytes: 10 });
    for (const ack of [0, ENDPOINT, NEXT.endpoint + 1, forged]) {
      await connection.send("client A", { seq: NEXT.client, ack });
      await connection.send("client PA", { seq: NEXT.client, ack, bytes: 10 });
    }
    await isIn(node, SYN_RECEIVED);
    await connection.send("client A", { seq: NEXT.client });
    await isIn(node, ESTABLISHED);
  },

  "only an answer that acknowledges the client's SYN is one": async (node) => {
    const connection = await Conversation.of(node, "client S");
    for (const ack of [CLIENT - 1, CLIENT, CLIENT + 2, forged]) {
      await connection.send("endpoint SA", { seq: 7, ack });
    }
    await connection.send("endpoint S", { seq: 7 });
    await isIn(node, SYN_SENT);
    await connection.send("endpoint SA");
    await isIn(node, SYN_RECEIVED);
  },

  "a repeated SYN changes nothing, one with another number begins again": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("client S", { seq: CLIENT });
    await isIn(node, SYN_RECEIVED);
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
    await connection.send("endpoint SA", { seq: 7, ack: forged + 1 });
    await connection.send("client A", { seq: forged + 1, ack: 8 });
    await isIn(node, ESTABLISHED);
  },

  "the last SYN-ACK counts, because SYN cookies change": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("endpoint SA", { seq: 77 });
    await connection.send("client A", { ack: 78 });
    await isIn(node, ESTABLISHED);
  },

  "data in the SYN and in the answer (TCP Fast Open)": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client S", { bytes: 100 });
    await connection.send("endpoint SA", { ack: CLIENT + 51 });
    await isIn(node, SYN_RECEIVED);
    await connection.send("endpoint PA", { bytes: 50 });
    await connection.send("client A", { ack: NEXT.endpoint });
    await isIn(node, SYN_RECEIVED);
    await connection.send("client A");
    await isIn(node, ESTABLISHED);
  },

  "an endpoint rejects a connection": async (node) => {
    const connection = await Conversation.of(node, "client S");
    await doesNotCount(node, connection, "endpoint R", { seq: 0 });
    await doesNotCount(node, connection, "endpoint RA", { seq: 0, ack: CLIENT });
    await doesNotCount(node, connection, "client R", { seq: CLIENT + 2 });
    await connection.send("endpoint RA", { seq: 0 });
    await isIn(node, "ENDPOINT_RESET");
    // The client tries again.
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
  },

  "a connection that was picked up is rejected with the number that the client acknowledged": async (
    node,
  ) => {
    const connection = await Conversation.of(node);
    await connection.send("client A", { ack: 7777 });
    await doesNotCount(node, connection, "endpoint R", { seq: 7776 });
    await connection.send("endpoint R", { seq: 7777 });
    await isIn(node, "ENDPOINT_RESET");
  },

  "a connection that was picked up is established when the endpoint has answered": async (node) => {
    const connection = await Conversation.of(node);
    await connection.send("client A", { bytes: 10 });
    await connection.send("client A", { bytes: 10 });
    await isIn(node, SYN_SENT);
    await connection.send("endpoint A", { bytes: 10 });
    await isIn(node, SYN_RECEIVED);
    await connection.send("client A");
    await isIn(node, ESTABLISHED);
  },

  "a later fragment has no numbers": async (node) => {
    const connection = await Conversation.established(node);
    const bytes = `b"x" * 64`;
    const first = (source: string, destination: string, ttl: number) =>
      `IP(src="${source}", dst="${destination}", ttl=${ttl}, id=9, flags="MF"`;
    await node.ingress(
      `${
        first("10.1.0.2", "10.96.0.10", 64)
      })/TCP(sport=40000, dport=80, flags="A", seq=${NEXT.client}, ack=${NEXT.endpoint})/(${bytes})`,
      { device: "pod0" },
    );
    await node.translates(
      `IP(src="10.1.0.2", dst="10.96.0.10", id=9, frag=10, proto=6)/(${bytes})`,
      `IP(src="10.1.0.2", dst="10.1.0.1", ttl=63, id=9, frag=10, proto=6)/(${bytes})`,
      { device: "pod0" },
    );
    await isIn(node, ESTABLISHED);
    await connection.send("client R", { seq: NEXT.client + 64 });
    await isIn(node, CLIENT_RESET);
  },

  "without the other direction a reset does not count": async (node) => {
    const connection = await Conversation.established(node);
    await node.evict("replies");
    await connection.send("client R");
    assert.deepEqual((await node.state()).states, ["ANSWERED ASSURED (in one entry)"]);
    await connection.send("client FA", { seq: NEXT.client });
    await isIn(node, ESTABLISHED);
  },

  "a half-open connection without the endpoint's direction waits for another answer": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await node.evict("replies");
    for (let times = 0; times < 3; times++) await connection.send("client A", { ack: forged });
    await isIn(node, SYN_SENT);
    await connection.send("endpoint A", { bytes: 10 });
    await connection.send("client A");
    await isIn(node, ESTABLISHED);
  },

  "a connection whose port another one has by now is not established": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await node.evict("replies");
    // Flows are told apart by their time of birth, which is exact to a tick of the kernel.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const other = new Conversation(node, 11);
    for (const segment of ["client S", "endpoint SA", "client A"]) await other.send(segment);
    await connection.send("client A");
    const { states, assured } = await node.state();
    assert.deepEqual({ states, assured }, {
      states: [" (in one entry)", "ANSWERED ASSURED"],
      assured: 2,
    });
  },

  "an evicted direction of an established connection is not restored if another flow has its tuple": async (
    node,
  ) => {
    const connection = await Conversation.established(node);
    await node.evict("replies");
    // Flows are told apart by their time of birth, which is exact to a tick of the kernel.
    await new Promise((resolve) => setTimeout(resolve, 20));
    const other = new Conversation(node, 11);
    await other.send("client S");
    await node.age(2);
    await connection.send("client A");
    await other.send("endpoint SA");
    assert.equal((await node.state()).events[FLOW_EVENT.RESTORED], 0);
  },

  "a client opens a connection again, while its flow and without": async (node) => {
    const connection = await Conversation.established(node);
    await node.evict("requests");
    // The endpoint challenges the SYN, and the client resets the old connection.
    await connection.send("client S", { seq: forged });
    await connection.send("endpoint A", { ack: NEXT.client });
    await connection.send("client R", { seq: NEXT.client });
    await connection.send("client S", { seq: forged });
    await connection.send("endpoint SA", { seq: 7, ack: forged + 1 });
    await connection.send("client A", { seq: forged + 1, ack: 8 });
    await isIn(node, ESTABLISHED);
  },

  "a SYN in an established connection means nothing, and opens another one when that is over": async (
    node,
  ) => {
    const connection = await Conversation.established(node);
    await connection.send("client S", { seq: forged });
    await connection.send("endpoint SA", { seq: ENDPOINT });
    await isIn(node, ESTABLISHED);
    await connection.send("client R");
    await connection.send("endpoint S", { seq: 7 });
    await isIn(node, CLIENT_RESET);
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
  },
};
