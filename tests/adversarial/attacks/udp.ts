import { machines } from "../../lab/topology.ts";
import type { Arena } from "../support/arena.ts";
import type { Attack } from "../support/attack.ts";
import { allOf, type Figure } from "../support/figure.ts";

const CLOSED = 30053, ECHO = 30054, SERVED = 9001;
const pods = ["pod-a", "pod-b"] as const;
const echo = {
  name: "echo",
  protocol: "UDP",
  nodePort: ECHO,
  endpoints: pods.map((pod) => `${machines[pod].addresses.IPv4}:${SERVED}@here`),
} as const;

/** Limits on ICMP errors, which the lab lifts, as the kernel has them. */
const ICMP_LIMITS = [
  "net.ipv4.icmp_ratelimit=1000",
  "net.ipv4.icmp_ratemask=6168",
  "net.ipv4.icmp_msgs_per_sec=1000",
  "net.ipv4.icmp_msgs_burst=50",
];

const reflection: Attack = {
  name: "10,000 datagrams of 28 bytes to a service without endpoints",
  async run(arena) {
    // Before the start, at which mode ebpf reads them.
    await using _limits = await arena.sysctls(...ICMP_LIMITS);
    await arena.begin([{
      name: "closed",
      protocol: "UDP",
      nodePort: CLOSED,
      endpoints: [],
      external: "reject",
    }]);
    const attack = { port: CLOSED, count: 10_000, perSecond: 20_000, patience: 0.5 };
    const one = await arena.udpClients({ ...attack, sources: "198.18.0.1/32" });
    const many = await arena.udpClients({ ...attack, sources: "198.19.0.0/16" });
    return [
      errorsOf("ICMP errors to one address", one.errors),
      errorsOf("ICMP errors to 10,000 addresses", many.errors),
    ];

    // The bound is what the limits allow in the time of the attack, with the bursts. By chance a second more counts.
    function errorsOf(what: string, value: number): Figure {
      return { what, value, of: attack.count, bound: { atMost: 0.2 }, tolerance: 0.1 };
    }
  },
};

const sourcePorts: Attack = {
  name: "70,000 UDP clients of a masqueraded service with two endpoints",
  async run(arena) {
    await arena.begin([echo]);
    for (const pod of pods) await arena.echo(pod, SERVED);
    const count = 70_000, later = 500;
    const first = await arena.udpClients({ port: ECHO, count, perSecond: 15_000 });
    const next = await arena.udpClients({ port: ECHO, first: count, count: later, perSecond: 15_000 });
    return [
      allOf("clients that are answered", first.answered, count),
      allOf("later clients that are answered", next.answered, later),
    ];
  },
};

const fragments: Attack = {
  name:
    "fragments whose datagrams are never complete: the first ones only, the last ones only, overlapping ones",
  async run(arena) {
    await arena.begin([echo]);
    for (const pod of pods) await arena.echo(pod, SERVED);
    const kinds = ["last-fragment", "overlapping-fragment", "first-fragment"] as const;
    const figures: Figure[] = [];
    for (const kind of kinds) {
      const flood = arena.flood(kind, { port: ECHO, count: 10_000, perSecond: 5000 });
      const [whole, inFragments] = await Promise.all([ask(arena, 1), ask(arena, 3000)]);
      await flood;
      figures.push(
        allOf(`datagrams answered during the ${kind}s`, whole, ASKED),
        // The stack of an endpoint, and netfilter, have little memory for incomplete datagrams.
        {
          ...allOf(`datagrams in three fragments answered during the ${kind}s`, inFragments, ASKED),
          bound: { atLeast: 0 },
        },
      );
    }
    return figures;
  },
};

const ASKED = 20;

/** Number of datagrams of a size that are answered. */
async function ask(arena: Arena, bytes: number): Promise<number> {
  const { outcome } = await arena.ask({ port: ECHO, count: ASKED, bytes });
  return (await outcome).answered;
}

export const udpAttacks: readonly Attack[] = [reflection, sourcePorts, fragments];
