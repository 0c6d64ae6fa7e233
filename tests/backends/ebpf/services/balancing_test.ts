import assert from "node:assert/strict";
import {
  readService,
  SERVICE,
  type ServiceEntry,
  SIZE,
  VERDICT,
  viewOf,
} from "../../../../backends/ebpf/maps/layout.ts";
import { Services } from "../../../../backends/ebpf/services/services.ts";
import { type Balancing, BALANCINGS } from "../../../../core/objects/objects.ts";
import { planOf, type PlanText } from "../../plans.ts";
import { type FakeKernel, fakeKernel } from "./fake_kernel.ts";

const SLOTS = 101;
const both = ["10.1.0.1:80", "10.1.0.2:80"];

interface Served {
  readonly kernel: FakeKernel;
  readonly services: Services;
}

function served(texts: readonly PlanText[], balancing: Balancing = "random"): Served {
  const kernel = fakeKernel(2000);
  const services = new Services(kernel, { balancing, maglevTableSize: SLOTS }, () => {});
  services.reconcile(texts.map(planOf));
  return { kernel, services };
}

function change({ services }: Served, from: PlanText, to: PlanText): void {
  const [old, next] = [planOf(from), planOf(to)];
  services.apply([{ key: old.key, old, new: next }]);
}

/** The service entry of a NodePort. */
function nodePort({ kernel }: Served, port = 30080): ServiceEntry {
  const key = `00000000000000000000ffff00000000${port.toString(16)}0600`;
  const value = kernel.services.entries.get(key);
  assert(value !== undefined, `there is no node port ${port}`);
  return readService(viewOf(value), 0);
}

/** Number of slots in a list by endpoint, which is named by the last byte of its address. */
function shares(
  { kernel }: Served,
  { first, count }: ServiceEntry["cluster"],
): Readonly<Record<string, number>> {
  const counts: Record<string, number> = {};
  for (let slot = first; slot < first + count; slot++) {
    const host = kernel.endpoints.getUint8(slot * SIZE.endpoint + SIZE.address - 1);
    counts[host] = (counts[host] ?? 0) + 1;
  }
  return counts;
}

Deno.test("a service is balanced as it asks for, otherwise by the node's default", () => {
  for (const usual of BALANCINGS) {
    const asks = (balancing?: Balancing, nodePort = 30080): PlanText => ({
      name: `p${nodePort}`,
      nodePort,
      endpoints: both,
      balancing,
    });
    const node = served([asks("maglev", 30081), asks("random", 30082), asks(undefined, 30083)], usual);
    const isMaglev = (port: number) => {
      const { flags, cluster } = nodePort(node, port);
      assert.equal(cluster.count, flags & SERVICE.MAGLEV ? SLOTS : 2);
      return (flags & SERVICE.MAGLEV) !== 0;
    };
    assert.deepEqual([30081, 30082, 30083].map(isMaglev), [true, false, usual === "maglev"]);
  }
});

Deno.test("a different balancing alone is a change, and increases the generation", () => {
  const random: PlanText = { nodePort: 30080, endpoints: both };
  const maglev: PlanText = { ...random, balancing: "maglev" };
  const node = served([random]);
  const before = nodePort(node);
  change(node, random, maglev);
  const after = nodePort(node);
  assert.deepEqual([after.id, after.cluster.count], [before.id, SLOTS]);
  assert.notEqual(after.generation, before.generation);
  change(node, maglev, random);
  assert.deepEqual([nodePort(node).flags & SERVICE.MAGLEV, nodePort(node).cluster.count], [0, 2]);
});

Deno.test("asking for the default changes nothing", () => {
  const [silent, asking]: PlanText[] = [{ nodePort: 30080 }, { nodePort: 30080, balancing: "random" }];
  const node = served([silent!]);
  const before = nodePort(node);
  change(node, silent!, asking!);
  assert.deepEqual(nodePort(node), before);
});

Deno.test("weights determine the shares, with random balancing and with Maglev", () => {
  for (const balancing of BALANCINGS) {
    const endpoints = ["10.1.0.1:80 weight 3", "10.1.0.2:80", "10.1.0.3:80 weight 0"];
    const node = served([{ nodePort: 30080, endpoints, balancing }]);
    const { cluster, flags } = nodePort(node);
    assert.equal((flags & SERVICE.MAGLEV) !== 0, balancing === "maglev");
    assert.deepEqual(shares(node, cluster), { 1: 76, 2: 25 });
  }
});

Deno.test("every endpoint with a weight has a slot, and equal weights need no table", () => {
  const unequal = served([{ nodePort: 30080, endpoints: ["10.1.0.1:80 weight 65535", "10.1.0.2:80"] }]);
  assert.deepEqual(shares(unequal, nodePort(unequal).cluster), { 1: SLOTS - 1, 2: 1 });
  const equal = served([{ nodePort: 30080, endpoints: both.map((endpoint) => `${endpoint} weight 7`) }]);
  assert.equal(nodePort(equal).cluster.count, 2);
});

Deno.test("a different weight alone is a change", () => {
  const [equal, unequal] = [both, [both[0]!, `${both[1]} weight 0`]].map((endpoints): PlanText => ({
    nodePort: 30080,
    endpoints,
  }));
  const node = served([equal!]);
  change(node, equal!, unequal!);
  assert.deepEqual(shares(node, nodePort(node).cluster), { 1: 1 });
});

Deno.test("endpoints of weight 0 keep UDP flows, and a service with only such ones rejects new flows", () => {
  const endpoints = both.map((endpoint) => `${endpoint} weight 0`);
  const kernel = fakeKernel();
  new Services(kernel, { balancing: "random", maglevTableSize: SLOTS }, () => {})
    .reconcile([planOf({ protocol: "UDP", nodePort: 30080, endpoints })]);
  const [value] = kernel.services.entries.values();
  assert(value !== undefined);
  const { verdict, cluster, serving } = readService(viewOf(value), 0);
  assert.deepEqual([verdict, cluster.count, serving.count], [VERDICT.REJECT, 0, 2]);
});
