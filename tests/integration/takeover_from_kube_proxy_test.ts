import assert from "node:assert/strict";
import { isAnswered } from "../lab/agent.ts";
import { Lab } from "../lab/lab.ts";
import { at, machines } from "../lab/topology.ts";
import { answered, podOf, Traffic, type TrafficReport } from "../lab/traffic.ts";
import { LabControlPlane, peers, RunningProxy } from "./takeover_lab.ts";
import { webObjects } from "./web_objects.ts";

const LEAST_CONNECTIONS_PER_SECOND = 200;

const web = { protocol: "TCP", to: at("clusterIP", "IPv4", 11), port: 80 } as const;
const sticky = { protocol: "TCP", to: at("clusterIP", "IPv4", 12), port: 80 } as const;
/** Addresses of clients with affinity, each from a machine that has it. */
const clients = ["outside", "stranger", "pod-a", "pod-d", "node"] as const;

/** Who runs next, after kube-proxy. */
const steps = ["kube-proxy", "proxy", "proxy", "kube-proxy", "proxy"] as const;

const missing = ["etcd", "kube-apiserver", "kube-proxy"].filter((peer) => !exists(`${peers}/${peer}`));

Deno.test({
  name:
    "proxy takes over from a running kube-proxy, and kube-proxy from it, without losing a connection or " +
    `an affinity${missing.length > 0 ? ` (skipped: no ${missing.join(", ")} in ${peers})` : ""}`,
  ignore: missing.length > 0,
  async fn() {
    await using lab = await Lab.create();
    await using plane = await LabControlPlane.start(lab);
    const objects: object[] = [
      node,
      ...webObjects("web", web.to),
      ...webObjects("sticky", sticky.to, {
        sessionAffinity: "ClientIP",
      }),
    ];
    await plane.publish(objects);
    let running = new RunningProxy(lab, plane, "kube-proxy");
    try {
      await answered(lab.agent("outside"), web);
      await answered(lab.agent("outside"), sticky);
      const held = await lab.agent("outside").probe(web, { times: 60, keep: true });
      const connections = held.filter(isAnswered).map(({ connection }) => connection ?? -1);
      assert.equal(connections.length, 60);
      const before = await affinities(lab);
      for (const [client, reached] of before) assert.equal(reached.size, 1, `${client} has affinity`);

      const taken: (readonly string[])[] = [];
      for (const [step, next] of steps.entries()) {
        const traffic = new Traffic(lab.agent("outside"), web, { times: 40, pauseMs: 0 });
        const previous = running.who;
        await running.kill();
        // Made while nobody runs: the next has to find it.
        const fresh = { ...web, to: at("clusterIP", "IPv4", 20 + step) };
        objects.push(...webObjects(`fresh-${step}`, fresh.to));
        await plane.publish(objects);
        const started = performance.now();
        running = new RunningProxy(lab, plane, next);
        await answered(lab.agent("pod-c"), fresh);
        const took = performance.now() - started;
        // What follows the first programming, such as kube-proxy's removal of stale chains, is watched too.
        await new Promise((resolve) => setTimeout(resolve, 1500));
        const report = await traffic.stop();
        console.log(`    ${previous} to ${next}: honoured after ${took.toFixed(0)} ms; ${inWords(report)}`);

        assert.deepEqual(report.failures.slice(0, 5), []);
        assert.ok(1000 / report.perConnectionMs >= LEAST_CONNECTIONS_PER_SECOND, inWords(report));
        const again = await lab.agent("outside").send(connections);
        assert.deepEqual(again.map(podOf), held.map(podOf), "every connection still has its pod");
        assert.deepEqual(await affinities(lab), before, "affinity is kept");
        if (next === "proxy") taken.push(await partsOfTables(lab));
      }
      // What an empty kernel is given: nothing of kube-proxy's may be left beside it.
      await running.kill();
      assert.equal((await lab.run("node", ["nft", "flush", "ruleset"])).code, 0);
      running = new RunningProxy(lab, plane, "proxy");
      await answered(lab.agent("pod-c"), web);
      const fresh = await partsOfTables(lab);
      assert.deepEqual(taken, taken.map(() => fresh));
    } catch (error) {
      console.log(running.log.slice(-3000));
      throw error;
    } finally {
      await running[Symbol.asyncDispose]();
    }
  },
});

/** The pods that each client reaches at the service with affinity. */
async function affinities(lab: Lab): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const reached = new Map<string, ReadonlySet<string>>();
  for (const client of clients) {
    const from = machines[client].addresses.IPv4;
    const outcomes = await lab.agent(client).probe(sticky, { times: 10, from });
    reached.set(client, new Set(outcomes.map(podOf)));
  }
  return reached;
}

/** "chain ip cluster-3", "set ip6 cluster-ips" …: what the tables consist of. */
async function partsOfTables(lab: Lab): Promise<readonly string[]> {
  const parts = [];
  for (const family of ["ip", "ip6"]) {
    const { code, stdout, stderr } = await lab.run("node", ["nft", "list", "table", family, "kube-proxy"]);
    assert.equal(code, 0, stderr);
    for (const [, type, name] of stdout.matchAll(/^\t(chain|set|map) (\S+) \{/gm)) {
      parts.push(`${type} ${family} ${name}`);
    }
  }
  return parts.sort();
}

function inWords({ connections, failures, perConnectionMs, slowestMs }: TrafficReport): string {
  return `${connections} connections, one each ${
    perConnectionMs.toFixed(1)
  } ms, ${failures.length} failed, ` +
    `the slowest in ${slowestMs.toFixed(0)} ms`;
}

/** kube-proxy waits 30 s at its start for a node without addresses. */
const node = {
  apiVersion: "v1",
  kind: "Node",
  metadata: { name: "here" },
  status: { addresses: [{ type: "InternalIP", address: machines.node.addresses.IPv4 }] },
};

function exists(path: string): boolean {
  try {
    return Deno.statSync(path).isFile;
  } catch {
    return false;
  }
}
