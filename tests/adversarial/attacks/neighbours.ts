import { machines, podGateways, servedPorts, serviceAddress } from "../../lab/topology.ts";
import { podOf } from "../../lab/traffic.ts";
import type { Arena } from "../support/arena.ts";
import type { Attack } from "../support/attack.ts";
import { allOf, type Figure } from "../support/figure.ts";

const port = servedPorts[0]!;
const pod = (name: "pod-a" | "pod-b" | "pod-c", port: number) =>
  `${machines[name].addresses.IPv4}:${port}@here`;
const STICKY = 30090, OTHER = 30091, ECHO = 9002, PLAIN_ECHO = 9003;

/** Seconds that clients wait; longer than the attacks take. */
const PATIENCE = 20;

const affinity: Attack = {
  name:
    "4,096 clients of a service with session affinity, for a client of another one; the node has room for 1,024 clients",
  async run(arena) {
    const endpoints = [pod("pod-a", port), pod("pod-b", port), pod("pod-c", port)];
    const affinitySeconds = 3600;
    await arena.begin([
      { name: "sticky", nodePort: STICKY, endpoints, affinitySeconds },
      { name: "other", nodePort: OTHER, endpoints, affinitySeconds },
    ], { clients: 1024 });
    const target = { protocol: "TCP", to: machines.node.addresses.IPv4, port: STICKY } as const;
    const [first] = await arena.connect(target, 1);
    await arena.flood("syn", { sources: "198.18.0.0/20", port: OTHER, count: 20_000, perSecond: 20_000 });
    const later = await arena.connect(target, 20);
    const stayed = later.filter((outcome) => podOf(outcome) === podOf(first!)).length;
    return [allOf("connections of a client that reach its endpoint", stayed, 20)];
  },
};

const sockets: Attack = {
  name: "5,000 UDP sockets of a pod, for another pod that waits for an answer",
  async run(arena) {
    const service = serviceAddress("clusterIP", "IPv4", 53);
    const other = serviceAddress("clusterIP", "IPv4", 54);
    await arena.begin([
      { name: "slow", protocol: "UDP", clusterIP: `${service}:53`, endpoints: [pod("pod-c", ECHO)] },
      { name: "fast", protocol: "UDP", clusterIP: `${other}:53`, endpoints: [pod("pod-c", PLAIN_ECHO)] },
    ], { clients: 1024 });
    await using slow = await arena.echoLater("pod-c", ECHO);
    await arena.echo("pod-c", PLAIN_ECHO);
    const question = { from: "pod-a", to: service, port: 53, count: 20, patience: PATIENCE } as const;
    const { outcome } = await arena.ask(question);
    await arena.openSockets("pod-b", other, 53, 5000);
    await slow.answer();
    const { answered } = await outcome;
    return [allOf("answers that come from the service's address", answered, 20)];
  },
};

const SPOOFED_COUNT = 1000;

const spoofed: Attack = {
  name: "datagrams to a service with a source that the node would not route to the sender",
  async run(arena) {
    const service = serviceAddress("clusterIP", "IPv4", 55);
    await using _strict = await arena.sysctls("net.ipv4.conf.all.rp_filter=1");
    await arena.begin([
      { name: "web", protocol: "UDP", clusterIP: `${service}:53`, endpoints: [pod("pod-a", PLAIN_ECHO)] },
    ]);
    await arena.echo("pod-a", PLAIN_ECHO);
    const flood = { to: service, port: 53, count: SPOOFED_COUNT, perSecond: 10_000 };
    const figure = async (what: string, from: "outside" | "pod-c", sources: string): Promise<Figure> => {
      const before = await receivedDatagrams(arena);
      await arena.flood("udp", { ...flood, from, sources });
      return none(what, await receivedDatagrams(arena) - before, SPOOFED_COUNT);
    };
    return [
      await figure(
        "datagrams of a pod with the address of another one",
        "pod-c",
        `${machines["pod-b"].addresses.IPv4}/32`,
      ),
      await figure(
        "datagrams of a pod with an address outside",
        "pod-c",
        `${machines.stranger.addresses.IPv4}/32`,
      ),
      await figure(
        "datagrams from outside with the address of a pod",
        "outside",
        `${machines["pod-c"].addresses.IPv4}/32`,
      ),
    ];
  },
};

const forgedAnswers: Attack = {
  name: "answers of a pod that nobody asked, to every port of the node",
  async run(arena) {
    await using _strict = await arena.sysctls("net.ipv4.conf.all.rp_filter=1");
    await arena.begin([{ name: "slow", protocol: "UDP", nodePort: OTHER, endpoints: [pod("pod-a", ECHO)] }]);
    await using slow = await arena.echoLater("pod-a", ECHO);
    const { outcome } = await arena.ask({ port: OTHER, count: 20, patience: PATIENCE });
    const answers = (name: "pod-c" | "pod-a", to: string) => {
      const sources = `${machines[name].addresses.IPv4}/32:${ECHO}`;
      return arena.flood("udp", { from: "pod-c", sources, to, port: 0, count: 40_000, perSecond: 80_000 });
    };
    await answers("pod-c", podGateways.here.IPv4);
    // Either address of the node may be the source of masqueraded datagrams.
    await answers("pod-a", podGateways.here.IPv4);
    await answers("pod-a", machines.node.addresses.IPv4);
    await slow.answer();
    const { answered, forged } = await outcome;
    return [
      allOf("clients that are answered", answered, 20),
      none("forged answers that reach them", forged, 20),
    ];
  },
};

function none(what: string, value: number, of: number): Figure {
  return { what, value, of, bound: { atMost: 0 }, tolerance: 0 };
}

/** Number of datagrams that the endpoint's machine has received. */
async function receivedDatagrams({ lab }: Arena): Promise<number> {
  const { stdout } = await lab.run("pod-a", ["cat", "/proc/net/snmp"]);
  const [names, values] = stdout.split("\n").filter((line) => line.startsWith("Udp:")).map((line) =>
    line.split(" ")
  );
  return Number(values?.[names?.indexOf("InDatagrams") ?? -1]);
}

/** Attacks of a pod or of a service's clients on other pods and services. */
export const neighbourAttacks: readonly Attack[] = [affinity, sockets, spoofed, forgedAnswers];
