import assert from "node:assert/strict";
import { FLOW_EVENT } from "../../../../backends/ebpf/maps/layout.ts";
import { CLIENT, Conversation, ENDPOINT, webs } from "../support/packets/conversation.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";

/** Checks the state of the only connection. */
async function isIn(node: PacketNode, state: string): Promise<void> {
  const { states, assured, flows, unpaired } = await node.state();
  assert.deepEqual(states, [state]);
  const isAssured = state.includes("ASSURED");
  assert.deepEqual({ assured, flows, unpaired }, { assured: isAssured ? 2 : 0, flows: 2, unpaired: 0 });
}

const SYN_SENT = "";
const SYN_RECEIVED = "ANSWERED";
const ESTABLISHED = "ANSWERED ASSURED";
const CLIENT_RESET = "ANSWERED CLIENT_RESET ASSURED";
const ENDPOINT_RESET = "ANSWERED ENDPOINT_RESET ASSURED";
const CLIENT_FINISHED = "ANSWERED CLIENT_FINISHED ASSURED";
const ENDPOINT_FINISHED = "ANSWERED ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST ASSURED";
const CLOSED = "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED ASSURED";
const TIME_WAIT = "ANSWERED CLIENT_FINISHED ENDPOINT_FINISHED ENDPOINT_FINISHED_FIRST ASSURED";

/** Both sequence numbers are correct behind the handshake. */
const NEXT = { client: CLIENT + 1, endpoint: (ENDPOINT + 1) >>> 0 };
const forged = 0x7000_0000;

/** Sends a segment with other numbers, and checks that it is forwarded and counted, and changes no state. */
async function doesNotCount(
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

/** The states of TCP connections (docs/ebpf-packets.md). */
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
    // The same for a number that only a SYN has.
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

  "keep-alives, repeated segments and closed windows change nothing": async (node) => {
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
