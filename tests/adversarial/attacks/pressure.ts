import type { Capacity } from "../../../backends/ebpf/options.ts";
import type { PlanText } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { machines, servedPorts } from "../../lab/topology.ts";
import { podOf } from "../../lab/traffic.ts";
import { type Arena, rejectedBy, SETTINGS } from "../support/arena.ts";
import type { Attack } from "../support/attack.ts";
import { allOf, answeredOf, type Figure } from "../support/figure.ts";

const [port, otherPort] = [servedPorts[0]!, servedPorts[1]!];
const podA = endpointOf("pod-a", port);
const podB = endpointOf("pod-b", port);
const WEB = 30100, LATER = 30101;
const web = { name: "web", nodePort: WEB, endpoints: [podA] };
/** A service with a node port. */
type NodePort = PlanText & { readonly nodePort: number };

const at = (port: number) => ({ protocol: "TCP", to: machines.node.addresses.IPv4, port }) as const;

/** Checks a service of somebody else after one tenant has asked for more than there is. */
async function besideTenant(arena: Arena, tenant: readonly PlanText[]): Promise<readonly Figure[]> {
  // One after the other, so that only those are rejected for which there is no room.
  for (const service of tenant) await arena.add([service]);
  const before = await arena.connect(at(WEB), 20);
  await arena.add([{ ...web, endpoints: [podB] }]);
  const moved = (await arena.connect(at(WEB), 20)).filter((outcome) => podOf(outcome) === "pod-b").length;
  return [
    answeredOf("connections to another service", before),
    allOf("connections to that service's new endpoint", moved, 20),
  ];
}

/** Connections to services of others, without annotations, which are created after the tenant's. */
async function toLaterServices(arena: Arena, later: readonly NodePort[]): Promise<Figure> {
  await arena.add(later);
  const outcomes = await Promise.all(later.map(({ nodePort }) => arena.connect(at(nodePort), 1)));
  return answeredOf("connections to services that come later", outcomes.flat());
}

function laterServices(count: number): readonly NodePort[] {
  return Array.from({ length: count }, (_, index) => {
    const nodePort = LATER + index;
    return { name: `later-${nodePort}`, nodePort, endpoints: [podB] };
  });
}

/**
 * Checks services of others after everything that the cluster has was programmed anew: with what the kernel has, and
 * after a reboot of the node.
 */
async function afterRestarts(
  arena: Arena,
  tenant: readonly PlanText[],
  later: readonly NodePort[],
): Promise<readonly Figure[]> {
  const others = [web, ...later];
  const figures: Figure[] = [];
  for (const what of ["proxy", "node"] as const) {
    await arena.restart(what, [...tenant, ...others]);
    const outcomes = await Promise.all(others.map(({ nodePort }) => arena.connect(at(nodePort), 2)));
    figures.push(answeredOf(`connections to other services after a restart of the ${what}`, outcomes.flat()));
  }
  return figures;
}

/** Attacks with services of a tenant that take more than there is, and looks at those of others. */
async function exhaust(
  arena: Arena,
  capacity: Partial<Capacity>,
  tenant: readonly PlanText[],
  later = laterServices(40),
): Promise<readonly Figure[]> {
  await arena.begin([web], capacity);
  return [
    ...await besideTenant(arena, tenant),
    await toLaterServices(arena, later),
    ...await afterRestarts(arena, tenant, later),
  ];
}

/** The node ports of a tenant. */
function portsOf(count: number): readonly NodePort[] {
  return Array.from({ length: count }, (_, index) => {
    const nodePort = 31000 + index;
    return { namespace: "tenant", name: `tenant-${nodePort}`, nodePort, endpoints: [podB] };
  });
}

const frontends: Attack = {
  name: "a tenant with more node ports than the node has room for",
  run: (arena) => exhaust(arena, { frontends: 128 }, portsOf(250), laterServices(10)),
};

const endpoints: Attack = {
  name: "a tenant with more endpoints than the node has room for",
  run(arena) {
    const many = Array.from({ length: 1000 }, (_, index) => `10.2.${index >> 8}.${index & 255}:80`);
    const tenant = portsOf(400).map((service, index) =>
      index < 5 ? { ...service, endpoints: many } : service
    );
    return exhaust(arena, { endpoints: 4096 }, tenant);
  },
};

const tables: Attack = {
  name: "a tenant with more Maglev tables than the node has room for",
  run(arena) {
    const table = { endpoints: [podA, podB], balancing: "maglev" } as const;
    return exhaust(arena, { endpoints: 8192 }, portsOf(12).map((service) => ({ ...service, ...table })));
  },
};

const weights: Attack = {
  name: "a tenant with more weighted endpoints than the node has room for",
  run(arena) {
    const weighted = { endpoints: [`${podA} weight 1`, `${podB} weight 999`] };
    return exhaust(arena, { endpoints: 8192 }, portsOf(12).map((service) => ({ ...service, ...weighted })));
  },
};

const ranges: Attack = {
  name: "a tenant with more source ranges than the node has room for",
  run(arena) {
    const tenant = portsOf(3).map((service, index) => ({
      ...service,
      sourceRanges: Array.from({ length: 500 }, (_, n) => `100.${64 + index}.${n >> 8}.${n & 255}/32`),
    }));
    const sourceRanges = [`${machines.outside.addresses.IPv4}/32`];
    const later = laterServices(10).map((service) => ({ ...service, sourceRanges }));
    return exhaust(arena, { frontends: 1024 }, tenant, later);
  },
};

const twoProcesses: Attack = {
  name: "a second process that programs the same node",
  async run(arena) {
    const services = [
      web,
      { name: "second", nodePort: LATER, endpoints: [podB] },
      { name: "third", nodePort: LATER + 1, endpoints: [endpointOf("pod-b", otherPort)] },
    ] as const;
    await arena.begin([services[0]]);
    await using intruder = arena.startBackend();
    await rejectedBy(intruder.reconcile(arena.plansOf([services[0], services[1]]), SETTINGS));
    // The first process does not know what the second one has written.
    await arena.add([services[2]]);
    const reached = await Promise.all(services.map(async ({ nodePort, endpoints: [endpoint] }) => {
      const outcomes = (await arena.connect(at(nodePort), 20)).filter(isAnswered);
      const own = outcomes.filter(({ pod, port }) => endpoint === endpointOf(pod as "pod-a", port));
      return { outcomes: outcomes.length, astray: outcomes.length - own.length };
    }));
    return [{
      what: "connections that reach an endpoint of another service",
      value: reached.reduce((sum, { astray }) => sum + astray, 0),
      of: reached.reduce((sum, { outcomes }) => sum + outcomes, 0),
      bound: { atMost: 0 },
      tolerance: 0,
    }];
  },
};

function endpointOf(pod: "pod-a" | "pod-b", port: number): string {
  return `${machines[pod].addresses.IPv4}:${port}@here`;
}

/** Attacks on the capacities of the maps that the proxy fills, and on the maps themselves. */
export const pressureAttacks: readonly Attack[] = [
  frontends,
  endpoints,
  tables,
  weights,
  ranges,
  twoProcesses,
];
