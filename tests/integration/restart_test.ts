import assert from "node:assert/strict";
import { serviceObject, sliceObject } from "../bench/cluster.ts";
import { type Agent, isAnswered, type Target } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import { ProxyProcess } from "../lab/proxy.ts";
import { serviceAddress } from "../lab/topology.ts";
import { answered, podOf, Traffic } from "../lab/traffic.ts";
import { webObjects } from "./support/web_objects.ts";

const size = { services: 10_000, endpoints: 10 };
/** ClusterIPs of lower indexes are used by the test itself. */
const FIRST_SERVICE = 1000;
/**
 * From the start of the new process until a change made meanwhile is in force. kube-proxy needs 48 s. The benchmark
 * (`scripts/bench.sh`) measures this proxy on an idle machine: less than 2 s.
 */
const HONOURED_WITHIN_MS = 8000;

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const sticky = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 12), port: 80 } as const;

Deno.test("kill -9 and restart at 10,000 services loses no connection and no affinity, and applies a change soon", async () => {
  await using lab = await Lab.create();
  const directory = await Deno.makeTempDir();
  try {
    await writeBulk(`${directory}/bulk.json`);
    await write(`${directory}/web.json`, webObjects("web", web.to));
    await write(`${directory}/sticky.json`, webObjects("sticky", sticky.to, { sessionAffinity: "ClientIP" }));
    const client = lab.agent("outside");
    await using proxies = new Proxies(lab, directory);
    proxies.start();
    await answered(client, web);
    const held = await client.probe(web, { times: 60, keep: true });
    const connections = held.filter(isAnswered).map(({ connection }) => connection ?? -1);
    assert.equal(connections.length, 60);
    const clientsPod = await podsOf(client, sticky);
    assert.equal(clientsPod.size, 1, "affinity holds before the restart");

    // Frequent enough to notice a gap, without taking CPU time from the process under test.
    const traffic = new Traffic(lab.agent("pod-c"), web, { times: 4, pauseMs: 10 });
    await proxies.kill();
    // The change is made while no proxy runs, so the new process has to find it.
    const fresh = { ...web, to: serviceAddress("clusterIP", "IPv4", 13) };
    await write(`${directory}/fresh.json`, webObjects("fresh", fresh.to));
    const startedAt = proxies.start();
    await answered(client, fresh);
    const honoured = performance.now() - startedAt;
    const { connections: made, failures } = await traffic.stop();

    console.log(`    honoured after ${honoured.toFixed(0)} ms; ${made} connections meanwhile`);
    assert.ok(honoured < HONOURED_WITHIN_MS, `the change was honoured after ${honoured.toFixed(0)} ms`);
    assert.ok(made > 50, `only ${made} connections were made meanwhile`);
    assert.deepEqual(failures.slice(0, 5), []);
    const again = await client.send(connections);
    assert.deepEqual(again.map(podOf), held.map(podOf), "every connection still has its pod");
    assert.deepEqual(await podsOf(client, sticky), clientsPod, "affinity survives the restart");
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
});

/** Runs one process of the proxy under test after the other. */
class Proxies implements AsyncDisposable {
  #running: ProxyProcess | undefined;

  constructor(private readonly lab: Lab, private readonly directory: string) {}

  /** @returns its start time on the clock of performance.now() */
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

async function podsOf(client: Agent, target: Target): Promise<Set<string>> {
  return new Set((await client.probe(target, { times: 20 })).map(podOf));
}

async function writeBulk(path: string): Promise<void> {
  const items: object[] = [];
  for (let i = FIRST_SERVICE; i < FIRST_SERVICE + size.services; i++) {
    items.push(serviceObject(i), sliceObject(i, size));
  }
  await write(path, items);
}

async function write(path: string, items: readonly object[]): Promise<void> {
  await Deno.writeTextFile(path, JSON.stringify({ apiVersion: "v1", kind: "List", items }));
}
