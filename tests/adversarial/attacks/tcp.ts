import { machines, nobody, servedPorts } from "../../lab/topology.ts";
import { isAnswered } from "../../lab/agent.ts";
import type { Arena } from "../support/arena.ts";
import type { Attack } from "../support/attack.ts";
import { allOf, answeredOf, type Figure } from "../support/figure.ts";

const WEB = 30080, OTHER = 30081;
const podA = `${machines["pod-a"].addresses.IPv4}:${servedPorts[0]}@here`;
const podB = `${machines["pod-b"].addresses.IPv4}:${servedPorts[0]}@here`;
const web = { name: "web", nodePort: WEB, endpoints: [podA, podB] };
const target = { protocol: "TCP", to: machines.node.addresses.IPv4, port: WEB } as const;
const AFTER = 20, IDLE = 10;

/** Idle connections that exist before an attack, and connections that are made during and after it. */
async function underAttack(arena: Arena, attack: () => Promise<unknown>): Promise<readonly Figure[]> {
  const outside = arena.lab.agent("outside");
  const kept = await outside.probe(target, { times: IDLE, keep: true });
  const connections = kept.filter(isAnswered).map(({ connection }) => connection!);
  const during = await arena.connectDuring(target, attack());
  const after = await arena.connect(target, AFTER);
  const idle = await outside.send(connections);
  await outside.close(connections);
  return [
    answeredOf("new connections during the attack", during),
    answeredOf("new connections after it", after),
    allOf("idle connections that go on", idle.filter(isAnswered).length, IDLE),
  ];
}

const synFlood: Attack = {
  name: "80,000 SYNs with spoofed sources to a node port, in 4 s",
  async run(arena) {
    await arena.begin([web]);
    return await underAttack(
      arena,
      () => arena.flood("syn", { port: WEB, count: 80_000, perSecond: 20_000 }),
    );
  },
};

const synFloodOneEndpoint: Attack = {
  name: "40,000 SYNs to a service with one endpoint",
  async run(arena) {
    await arena.begin([{ ...web, endpoints: [podA] }]);
    return await underAttack(
      arena,
      () => arena.flood("syn", { port: WEB, count: 40_000, perSecond: 20_000 }),
    );
  },
};

const synFloodOtherService: Attack = {
  name:
    "60,000 SYNs to another service, of whose endpoints one never answers; the node has room for 1,024 connections",
  async run(arena) {
    const podC = machines["pod-c"].addresses.IPv4;
    const endpoints = [
      `${podC}:${servedPorts[0]}@here`,
      `${podC}:${servedPorts[1]}@here`,
      `${nobody.addresses.IPv4}:80`,
    ];
    await arena.begin([web, { name: "other", nodePort: OTHER, endpoints }], { connections: 1024 });
    return await underAttack(
      arena,
      () => arena.flood("syn", { port: OTHER, count: 60_000, perSecond: 20_000 }),
    );
  },
};

const synFloodRate: Attack = {
  name: "200,000 SYNs per second for 10 s, or as many as the machine can send and answer",
  isLong: true,
  async run(arena) {
    await arena.begin([web]);
    // Otherwise the rate would say how busy the machine is with something else.
    const flood = { port: WEB, count: 1_000_000, perSecond: 100_000, seconds: 10, isRealTime: true };
    const halves = ["198.18.0.0/16", "198.19.0.0/16"].map((sources) => ({ ...flood, sources }));
    const sent: number[] = [];
    const figures = await underAttack(arena, async () => {
      sent.push(...await Promise.all(halves.map((half) => arena.flood("syn", half))));
    });
    const total = sent.reduce((sum, count) => sum + count, 0);
    return [...figures, {
      what: "SYNs sent",
      value: total,
      of: 2 * flood.count,
      bound: { atLeast: 0 },
      tolerance: 1,
    }];
  },
};

const strayFlood: Attack = {
  name: "40,000 ACKs and 40,000 SYN-ACKs of no connection, with spoofed sources",
  async run(arena) {
    await arena.begin([web]);
    return await underAttack(arena, async () => {
      await arena.flood("ack", { port: WEB, count: 40_000, perSecond: 20_000 });
      await arena.flood("syn-ack", { port: WEB, count: 40_000, perSecond: 20_000 });
    });
  },
};

const forgedSegments: Attack = {
  name: "forged RSTs and FINs on idle connections",
  async run(arena) {
    await arena.begin([web]);
    // A closed connection is forgotten after 10 s.
    const forged = { port: WEB, connections: IDLE, segments: 100, idleSeconds: 12 };
    const cases = [
      ["RST, random sequence number", "rst", "random", 1],
      ["RST, the number before the expected one", "rst", -1, 1],
      // Netfilter forgets such a connection after 10 s. To guess the number takes thousands of segments.
      ["RST, a number in the window", "rst", 1000, 0],
      ["FIN, random sequence number", "fin", "random", 1],
    ] as const;
    const alive = await Promise.all(cases.map(([, kind, sequence]) => arena.forge(kind, sequence, forged)));
    return cases.map(([what, , , atLeast], index) => ({
      ...allOf(`connections that go on: ${what}`, alive[index]!, IDLE),
      bound: { atLeast },
    }));
  },
};

export const tcpAttacks: readonly Attack[] = [
  synFlood,
  synFloodOneEndpoint,
  synFloodOtherService,
  synFloodRate,
  strayFlood,
  forgedSegments,
];
