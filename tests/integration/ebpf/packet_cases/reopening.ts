import assert from "node:assert/strict";
import { FLOW_EVENT } from "../../../../backends/ebpf/maps/layout.ts";
import {
  CLOSED,
  ENDPOINT_FINISHED,
  ESTABLISHED,
  forged,
  isIn,
  NEXT,
  SYN_SENT,
} from "../support/packets/connection_states.ts";
import { Conversation } from "../support/packets/conversation.ts";
import type { Cases, PacketNode } from "../support/packets/packet_node.ts";
import { web } from "../support/packets/plans.ts";

/** First numbers of the connection that is opened with the ports of the former one. */
const CLIENT = 0x3000_0000;
const ENDPOINT = 0x6000_0000;
/** Longer than the endpoint must be quiet. */
const QUIET_SECONDS = 3;

const SYN_IGNORED = "ANSWERED ASSURED SYN_IGNORED";
const REOPENED = "ANSWERED ASSURED REOPENED";

type Segment = readonly [segment: string, seq: number, ack: number];

const syn: Segment = ["client S", CLIENT, 0];
const answer: Segment = ["endpoint SA", ENDPOINT, CLIENT + 1];
const acknowledgement: Segment = ["client A", CLIENT + 1, ENDPOINT + 1];
const handshake = [syn, answer, acknowledgement];
/** Answers of the two sides of the former connection to a segment that does not belong to it. */
const challenges: readonly Segment[] = [
  ["endpoint A", NEXT.endpoint, NEXT.client],
  ["client A", NEXT.client, NEXT.endpoint],
];

async function send(connection: Conversation, ...segments: readonly Segment[]): Promise<void> {
  for (const [segment, seq, ack] of segments) await connection.send(segment, { seq, ack });
}

/** An established connection of which nothing has been heard for a while. */
async function forgotten(node: PacketNode): Promise<Conversation> {
  const connection = await Conversation.established(node);
  await node.age(QUIET_SECONDS);
  return connection;
}

/** Keeps a connection on trial, however slow the machine is, until time passes by `AFTER_TRIAL`. */
async function staysOnTrial(node: PacketNode): Promise<void> {
  await node.age(-60);
}

const AFTER_TRIAL = 62;

/** Connections that both sides have forgotten, and whose ports the client uses again. */
export const reopeningCases: Cases = {
  "a connection in place of a forgotten one is followed until its end": async (node) => {
    const connection = await forgotten(node);
    await send(connection, syn);
    await isIn(node, SYN_IGNORED);
    await send(connection, answer, acknowledgement);
    await isIn(node, REOPENED);
    await staysOnTrial(node);
    await send(connection, ["client FA", CLIENT + 1, ENDPOINT + 1], [
      "endpoint FA",
      ENDPOINT + 1,
      CLIENT + 2,
    ]);
    await isIn(node, `${CLOSED} REOPENED`);
    await node.age(60 + 11);
    await new Conversation(node, 11).send("client S");
    assert.deepEqual((await node.state()).states, [SYN_SENT]);
  },

  "its first segment may have data, and its end may be a reset": async (node) => {
    const connection = await forgotten(node);
    await send(connection, syn, syn, answer, ["endpoint SA", ENDPOINT + 7, CLIENT + 1]);
    await connection.send("client FPA", { seq: CLIENT + 1, ack: ENDPOINT + 8, bytes: 100 });
    await isIn(node, "ANSWERED CLIENT_FINISHED ASSURED REOPENED");
    await staysOnTrial(node);
    await send(connection, ["endpoint R", ENDPOINT + 8, 0]);
    await isIn(node, "ANSWERED CLIENT_FINISHED ENDPOINT_RESET ASSURED REOPENED");
  },

  "a connection in place of a half-closed one stays until its own end": async (node) => {
    const connection = await Conversation.established(node);
    await connection.send("endpoint FA");
    await isIn(node, ENDPOINT_FINISHED);
    await node.age(QUIET_SECONDS);
    await send(connection, ...handshake);
    await isIn(node, REOPENED);
    await node.age(3601);
    await send(connection, ["client A", CLIENT + 1, ENDPOINT + 1]);
    await isIn(node, ESTABLISHED);
  },

  "a second later, the former numbers mean nothing any more": async (node) => {
    for (const segment of [acknowledgement, ["endpoint A", ENDPOINT + 1, CLIENT + 1]] as const) {
      const connection = await forgotten(node);
      await send(connection, ...handshake);
      await staysOnTrial(node);
      await send(connection, segment);
      await isIn(node, REOPENED);
      await node.age(AFTER_TRIAL);
      await send(connection, segment);
      await isIn(node, ESTABLISHED);
      await send(connection, ...challenges, ["client R", CLIENT + 1, 0]);
      await isIn(node, "ANSWERED CLIENT_RESET ASSURED");
    }
  },

  "the trial begins with the SYN, although the client was heard just before": async (node) => {
    const connection = await Conversation.established(node);
    await node.age(60 + QUIET_SECONDS);
    await connection.send("client A");
    await node.age(-60);
    await send(connection, ...handshake);
    await node.age(2);
    await send(connection, acknowledgement);
    await isIn(node, ESTABLISHED);
  },

  "only the whole handshake opens another connection": async (node) => {
    for (
      const incomplete of [
        [answer, acknowledgement],
        [syn, acknowledgement],
        [syn, ["client A", CLIENT + 1, 0]],
        [syn, ["endpoint S", ENDPOINT, 0], acknowledgement],
        [syn, ["endpoint SA", ENDPOINT, CLIENT], acknowledgement],
        [syn, ["endpoint A", ENDPOINT, CLIENT + 1], acknowledgement],
        [syn, answer, ["client A", CLIENT + 2, ENDPOINT + 1]],
        [syn, answer, ["client A", CLIENT + 1, ENDPOINT]],
        [syn, answer, ["client A", CLIENT + 1, forged]],
        [syn, answer, ["client SA", CLIENT + 1, ENDPOINT + 1]],
        // One of the sides knows the former connection.
        ...challenges.flatMap((challenge) => [
          [syn, challenge, answer, acknowledgement],
          [syn, answer, challenge, acknowledgement],
        ]),
      ] as readonly (readonly Segment[])[]
    ) {
      const connection = await forgotten(node);
      await send(connection, ...incomplete);
      await isIn(node, ESTABLISHED);
      await connection.send("client R");
      await isIn(node, "ANSWERED CLIENT_RESET ASSURED");
    }
  },

  "the last SYN counts, unless the endpoint was heard just before": async (node) => {
    const connection = await forgotten(node);
    await send(connection, ["client S", forged, 0], ...handshake);
    await isIn(node, REOPENED);
    const recent = await Conversation.established(node);
    await node.age(QUIET_SECONDS);
    await recent.send("endpoint A");
    await node.age(-60);
    await send(recent, ...handshake);
    await isIn(node, ESTABLISHED);
  },

  "a forged handshake, with what ends a connection, does not end the former one": async (node) => {
    const ends: readonly (readonly Segment[])[] = [
      [["client R", CLIENT + 1, 0]],
      [["endpoint R", ENDPOINT + 1, 0]],
      [["client FA", CLIENT + 1, ENDPOINT + 1], ["endpoint FA", ENDPOINT + 1, CLIENT + 2]],
      [["endpoint FA", ENDPOINT + 1, CLIENT + 1], ["client FA", CLIENT + 1, ENDPOINT + 2]],
    ];
    for (const end of ends) {
      for (const challenge of challenges) {
        const connection = await forgotten(node);
        await send(connection, ...handshake);
        await staysOnTrial(node);
        await send(connection, ...end);
        // Neither does the client begin again, nor does a direct connection end the flow.
        await send(connection, syn, ["client A", NEXT.client, forged]);
        await node.ingress(`IP(src="10.1.0.2", dst="10.1.0.1")/TCP(sport=40000, dport=8080)`, {
          device: "pod0",
        });
        assert.equal((await node.state()).events[FLOW_EVENT.DELETED], 0);
        await send(connection, challenge);
        await isIn(node, ESTABLISHED);
        await connection.send("client R");
        await isIn(node, "ANSWERED CLIENT_RESET ASSURED");
      }
    }
  },

  "the port of a connection on trial is not taken": async (node) => {
    await node.program([web]);
    const client = (port: number, segment: string) =>
      node.ingress(`IP(src="192.168.8.9", dst="10.96.0.10")/TCP(sport=${port}, dport=80, ${segment})`);
    const endpoint = (segment: string) =>
      node.ingress(`IP(src="10.1.0.1", dst="192.168.8.1")/TCP(sport=8080, dport=61000, ${segment})`, {
        device: "pod0",
      });
    for (const seq of [100, CLIENT]) {
      await client(40000, `flags="S", seq=${seq}`);
      await endpoint(`flags="SA", seq=${ENDPOINT}, ack=${seq + 1}`);
      await client(40000, `flags="A", seq=${seq + 1}, ack=${ENDPOINT + 1}`);
      if (seq === 100) await node.age(QUIET_SECONDS);
    }
    await client(40000, `flags="R", seq=${CLIENT + 1}`);
    assert.deepEqual((await node.state()).states, ["ANSWERED CLIENT_RESET ASSURED REOPENED"]);
    await staysOnTrial(node);
    assert.equal((await client(40001, `flags="S"`)).action, "drop");
    await node.age(AFTER_TRIAL);
    assert.equal((await client(40001, `flags="S"`)).action, "redirect");
  },

  "a client opens another connection a second after the end of one on trial": async (node) => {
    const connection = await forgotten(node);
    await send(connection, ...handshake, ["client R", CLIENT + 1, 0]);
    await node.age(2);
    await connection.send("client S", { seq: forged });
    await isIn(node, SYN_SENT);
  },

  "without one of the two directions, nothing is known about another connection": async (node) => {
    for (const direction of ["replies", "requests"] as const) {
      for (const segments of [[syn], handshake]) {
        const connection = await forgotten(node);
        await send(connection, ...segments);
        await node.evict(direction);
        await send(
          connection,
          direction === "replies" ? acknowledgement : ["endpoint A", ENDPOINT + 1, CLIENT + 1],
        );
        await isIn(node, ESTABLISHED);
      }
    }
  },
};
