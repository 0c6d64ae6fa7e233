import assert from "node:assert/strict";
import { serviceObject, sliceObject } from "../bench/cluster.ts";
import { type Agent, isAnswered, type Outcome } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import { ProxyProcess } from "../lab/proxy.ts";
import { at, machines } from "../lab/topology.ts";

const size = { services: 10_000, endpoints: 10 };
/** Indexes before this one have ClusterIPs that the test uses itself. */
const FIRST_SERVICE = 1000;
/** The machine has other things to do at times: one restart of these is to be as quick as the proxy can be. */
const RESTARTS = 6;
/** From the start of the new process until a change made meanwhile is in force. */
const HONOURED_WITHIN_MS = 2000;

const web = at("clusterIP", "IPv4", 11);
const sticky = at("clusterIP", "IPv4", 12);
const pods = ["pod-a", "pod-b", "pod-c"] as const;

Deno.test("kill -9 and restart at 10,000 services loses no connection and no affinity, and honours a change soon", async () => {
  await using lab = await Lab.create();
  const directory = await Deno.makeTempDir();
  try {
    await writeBulk(`${directory}/bulk.json`);
    await write(directory, "web", web, {});
    await write(directory, "sticky", sticky, { sessionAffinity: "ClientIP" });
    const client = lab.agent("outside");
    await using proxies = new Proxies(lab, directory);
    proxies.start();
    await answered(lab, web, 30_000);
    const held = await client.probe({ protocol: "TCP", to: web, port: 80 }, { times: 60, keep: true });
    const connections = held.filter(isAnswered).map(({ connection }) => connection ?? -1);
    assert.equal(connections.length, 60);
    const clientsPod = await podsOf(client, sticky);
    assert.equal(clientsPod.size, 1, "affinity holds before the restart");

    const honouredAfter: number[] = [];
    for (let restart = 0; restart < RESTARTS && !honouredAfter.some(isSoon); restart++) {
      const traffic = new Traffic(lab);
      await proxies.kill();
      // The change is made while no proxy runs: the new process has to find it.
      const fresh = at("clusterIP", "IPv4", 20 + restart);
      await write(directory, `fresh-${restart}`, fresh, {});
      const startedAt = proxies.start();
      await answered(lab, fresh, 30_000);
      honouredAfter.push(performance.now() - startedAt);
      const outcomes = await traffic.stop();

      assert.ok(outcomes.length > 50, `only ${outcomes.length} connections were made meanwhile`);
      assert.deepEqual(outcomes.filter((outcome) => !isAnswered(outcome)), []);
      const again = await client.send(connections);
      assert.deepEqual(again.map(podOf), held.map(podOf), "every connection still has its pod");
      assert.deepEqual(await podsOf(client, sticky), clientsPod, "affinity survives the restart");
    }
    const times = honouredAfter.map((ms) => `${ms.toFixed(0)} ms`).join(", ");
    console.log(`    honoured after ${times}`);
    assert.ok(honouredAfter.some(isSoon), `the change was honoured after ${times}`);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

function isSoon(ms: number): boolean {
  return ms < HONOURED_WITHIN_MS;
}

/** The proxy under test, one process after the other. */
class Proxies implements AsyncDisposable {
  #running: ProxyProcess | undefined;

  constructor(private readonly lab: Lab, private readonly directory: string) {}

  /** Returns when it was started, on the clock of performance.now(). */
  start(): number {
    this.#running = new ProxyProcess(this.lab, this.directory);
    return this.#running.startedAt;
  }

  async kill(): Promise<void> {
    await this.#running?.stop("SIGKILL");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#running?.stop();
  }
}

/** New connections, one after the other, until it is stopped. */
class Traffic {
  readonly #outcomes: Outcome[] = [];
  readonly #done: Promise<void>;
  #stopped = false;

  constructor(lab: Lab) {
    this.#done = this.#run(lab);
  }

  async stop(): Promise<readonly Outcome[]> {
    this.#stopped = true;
    await this.#done;
    return this.#outcomes;
  }

  async #run(lab: Lab): Promise<void> {
    while (!this.#stopped) {
      this.#outcomes.push(
        ...await lab.agent("pod-c").probe({ protocol: "TCP", to: web, port: 80 }, { times: 4, parallel: 1 }),
      );
      // Enough to notice any gap, without taking the processor from the process under test.
      await new Promise((resolve) => setTimeout(resolve, 10));
    }
  }
}

async function answered(lab: Lab, address: string, withinMs: number): Promise<void> {
  const deadline = performance.now() + withinMs;
  for (;;) {
    const target = { protocol: "TCP", to: address, port: 80 } as const;
    const [outcome] = await lab.agent("outside").probe(target, { timeoutMs: 100 });
    if (outcome !== undefined && isAnswered(outcome)) return;
    assert.ok(performance.now() < deadline, `${address} is not answered`);
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
}

function podOf(outcome: Outcome): string {
  return isAnswered(outcome) ? outcome.pod : outcome.outcome;
}

async function podsOf(client: Agent, address: string): Promise<Set<string>> {
  return new Set((await client.probe({ protocol: "TCP", to: address, port: 80 }, { times: 20 })).map(podOf));
}

async function writeBulk(path: string): Promise<void> {
  const items = [];
  for (let i = FIRST_SERVICE; i < FIRST_SERVICE + size.services; i++) {
    items.push(serviceObject(i), sliceObject(i, size));
  }
  await Deno.writeTextFile(path, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
}

async function write(directory: string, name: string, clusterIP: string, spec: object): Promise<void> {
  const items = [
    {
      apiVersion: "v1",
      kind: "Service",
      metadata: { name, namespace: "default" },
      spec: { clusterIP, ports: [{ port: 80 }], ...spec },
    },
    {
      apiVersion: "discovery.k8s.io/v1",
      kind: "EndpointSlice",
      metadata: { name: `${name}-1`, namespace: "default", labels: { "kubernetes.io/service-name": name } },
      addressType: "IPv4",
      ports: [{ port: 8080 }],
      endpoints: pods.map((pod) => ({ addresses: [machines[pod].addresses.IPv4], nodeName: "here" })),
    },
  ];
  await Deno.writeTextFile(
    `${directory}/${name}.json`,
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
}
