import assert from "node:assert/strict";
import {
  CLIENT_FINISHED,
  CLIENT_RESET,
  CLOSED,
  doesNotCount,
  ENDPOINT_FINISHED,
  ENDPOINT_RESET,
  ESTABLISHED,
  forged,
  isIn,
  NEXT,
  SYN_SENT,
  TIME_WAIT,
} from "../support/packets/connection_states.ts";
import { Conversation, ENDPOINT, webs } from "../support/packets/conversation.ts";
import type { Cases } from "../support/packets/packet_node.ts";

/** How TCP connections end (docs/ebpf-packets.md). */
export const closingCases: Cases = {
  "a reset counts only in sequence": async (node) => {
    for (const [side, state] of [["client", CLIENT_RESET], ["endpoint", ENDPOINT_RESET]] as const) {
      const connection = await Conversation.established(node);
      for (const offset of [1, -1, 1000, -1000, forged]) {
        await doesNotCount(node, connection, `${side} R`, { seq: (NEXT[side] + offset) >>> 0 });
      }
      await connection.send(`${side} R`);
      await isIn(node, state);
    }
  },

  "a reset counts anywhere between what was acknowledged and what was sent": async (node) => {
    for (const sent of [0, 1, 500, 1000]) {
      const connection = await Conversation.established(node);
      await connection.send("endpoint A", { bytes: 1000 });
      await doesNotCount(node, connection, "endpoint R", { seq: (NEXT.endpoint + 1001) >>> 0 });
      await connection.send("endpoint R", { seq: (NEXT.endpoint + sent) >>> 0 });
      await isIn(node, ENDPOINT_RESET);
    }
  },

  "segments far ahead do not move the numbers that a reset must have": async (node) => {
    const connection = await Conversation.established(node);
    for (const distance of [1 << 20, forged, 0xc000_0000]) {
      const seq = (NEXT.endpoint + distance) >>> 0;
      await connection.send("endpoint A", { seq, bytes: 10 });
      await doesNotCount(node, connection, "endpoint R", { seq });
    }
    // A number that only a SYN has does not count, either.
    await connection.send("client S", { seq: forged });
    await doesNotCount(node, connection, "client R", { seq: forged });
    await connection.send("client R");
    await isIn(node, CLIENT_RESET);
  },

  "a reset is in sequence, too, if what was acknowledged was not seen": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client A", { ack: (NEXT.endpoint + 5000) >>> 0 });
    await connection.send("endpoint R", { seq: (NEXT.endpoint + 5000) >>> 0 });
    await isIn(node, ENDPOINT_RESET);
  },

  "a connection goes on if the other side challenges the reset": async (node) => {
    for (const [side, other] of [["client", "endpoint"], ["endpoint", "client"]] as const) {
      const connection = await Conversation.established(node);
      await connection.send(`${side} R`);
      // Neither a segment out of sequence, nor one of the side that was reset, is a challenge.
      await connection.send(`${other} A`, { seq: forged });
      await connection.send(`${other} A`, { ack: forged });
      await connection.send(`${other} P`);
      await connection.send(`${side} A`);
      await isIn(node, side === "client" ? CLIENT_RESET : ENDPOINT_RESET);
      await connection.send(`${other} A`);
      await isIn(node, ESTABLISHED);
    }
  },

  "a reset stays valid if the client completes its handshake afterwards, until it is challenged": async (
    node,
  ) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA", "client R", "client A");
    await isIn(node, CLIENT_RESET);
    await connection.send("endpoint A");
    await isIn(node, ESTABLISHED);
  },

  "keep-alive segments, repeated ones and closed windows change nothing": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client PA", { bytes: 10 });
    await connection.send("client PA", { seq: NEXT.client, bytes: 10 });
    await connection.send("endpoint A");
    // A keep-alive and a window probe have a number that was acknowledged.
    await connection.send("endpoint A", { seq: ENDPOINT });
    await connection.send("client A", { seq: NEXT.client + 9 });
    await isIn(node, ESTABLISHED);
    await connection.send("client R");
    await isIn(node, CLIENT_RESET);
  },

  "each side closes, and may repeat its FIN": async (node) => {
    let connection = await Conversation.established(node);
    await connection.send("client FA");
    await isIn(node, CLIENT_FINISHED);
    await connection.send("client FA", { seq: NEXT.client });
    await connection.send("endpoint A", { bytes: 100 });
    await connection.send("client A");
    await isIn(node, CLIENT_FINISHED);
    await connection.send("endpoint FPA", { bytes: 100 });
    await isIn(node, CLOSED);
    connection = await Conversation.established(node);
    await connection.send("endpoint FA");
    await isIn(node, ENDPOINT_FINISHED);
    await connection.send("client FA");
    await isIn(node, TIME_WAIT);
    // A reset ends TIME_WAIT, too.
    await connection.send("client R");
    await isIn(
      node,
      "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED CLIENT_RESET ENDPOINT_FINISHED_FIRST ASSURED",
    );
    await node.age(11);
    await node.ignores(
      `IP(src="10.1.0.1", dst="10.1.0.2")/TCP(sport=8080, dport=40000, flags="A")`,
      { device: "pod0" },
    );
  },

  "both sides close at the same time": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client FA");
    await connection.send("endpoint FA", { seq: NEXT.endpoint, ack: NEXT.client });
    await isIn(node, CLOSED);
  },

  "the client's first packet may close": async (node) => {
    const connection = await Conversation.of(node, "client S", "endpoint SA");
    await connection.send("client FA", { bytes: 100 });
    await isIn(node, CLIENT_FINISHED);
  },

  "a FIN counts only if both numbers are near those of the connection": async (node) => {
    for (const side of ["client", "endpoint"] as const) {
      const other = side === "client" ? "endpoint" : "client";
      const connection = await Conversation.established(node);
      for (
        const [seq, ack] of [
          [-2, 0],
          [(1 << 16) + 1, 0],
          [forged, 0],
          [0, 1],
          [0, -(1 << 16) - 1],
          [0, forged],
        ] as const
      ) {
        await doesNotCount(node, connection, `${side} FA`, {
          seq: (NEXT[side] + seq) >>> 0,
          ack: (NEXT[other] + ack) >>> 0,
        });
      }
      await doesNotCount(node, connection, `${side} F`, {});
      await isIn(node, ESTABLISHED);
    }
  },

  "a FIN that overtakes data counts": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("endpoint FA", { seq: (NEXT.endpoint + 1000) >>> 0 });
    await connection.send("endpoint A", { seq: NEXT.endpoint, bytes: 1000 });
    await isIn(node, ENDPOINT_FINISHED);
  },

  "data behind a FIN shows that it was forged": async (node) => {
    for (const side of ["client", "endpoint"] as const) {
      const connection = await Conversation.established(node);
      await connection.send(`${side} FA`, { seq: NEXT[side] });
      await connection.send(`${side} A`, { bytes: 100 });
      await isIn(node, ESTABLISHED);
    }
  },

  "closed connections are deleted in order, early if there are too many": async (node) => {
    await node.program(webs, { map: { firstPort: 61000, lastPort: 61099 } });
    const closeOne = async () => {
      const connection = new Conversation(node);
      for (const segment of ["client S", "endpoint SA", "client A", "client R"]) {
        await connection.send(segment);
      }
    };
    await closeOne();
    // The entry in the queue of a connection that began again is skipped.
    for (let times = 0; times < 20; times++) await closeOne();
    await isIn(node, CLIENT_RESET);
    await node.age(11);
    await new Conversation(node, 11).send("client S");
    const { states } = await node.state();
    assert.deepEqual(states, [SYN_SENT]);
  },

  "flows in the queues may be gone": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client R");
    await node.evict("replies");
    await node.evict("requests");
    await node.age(31);
    await new Conversation(node, 11).send("client S");
    assert.equal((await node.state()).flows, 2);
  },

  "a connection that goes on after a forged reset is not deleted": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("client R");
    await connection.send("endpoint A");
    await node.age(11);
    await node.ingress(`IP(src="10.1.0.2", dst="10.96.0.11")/TCP(sport=1, dport=80)`, { device: "pod0" });
    assert.deepEqual((await node.state()).states, [SYN_SENT, ESTABLISHED]);
  },
};
