import assert from "node:assert/strict";
import { isAnswered, type Target } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, serviceAddress } from "../../lab/topology.ts";
import { answered, podOf, Traffic, type TrafficReport } from "../../lab/traffic.ts";
import { LabControlPlane, missingPeers, nodeObject, RunningProxy } from "./takeover_lab.ts";
import { webObjects } from "./web_objects.ts";

const LEAST_CONNECTIONS_PER_SECOND = 20;

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const sticky = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 12), port: 80 } as const;
/** Machines whose addresses are clients with affinity. */
const clients = ["outside", "stranger", "pod-a", "pod-d", "node"] as const;

/** Order of the proxies after the first kube-proxy. */
const steps = ["kube-proxy", "proxy", "proxy", "kube-proxy", "proxy"] as const;

export function takeoverName(mode: "nftables" | "iptables"): string {
  return `mode ${mode}: proxy takes over from a running kube-proxy, and kube-proxy from it, without losing a ` +
    `connection or an affinity${missingPeers}`;
}

/**
 * Runs kube-proxy and this proxy in turn on one node, each taking over from the one before while connections go on.
 *
 * @param kernelObjects lists the mode's kernel objects: at the end they equal those of a start in an empty kernel
 * @throws AssertionError when a connection fails or an affinity is lost
 */
export async function takeOverInTurn(
  mode: "nftables" | "iptables",
  kernelObjects: (lab: Lab) => Promise<readonly string[]>,
): Promise<void> {
  await using lab = await Lab.create();
  await using plane = await LabControlPlane.start(lab);
  const objects: object[] = [
    nodeObject,
    ...webObjects("web", web.to),
    ...webObjects("sticky", sticky.to, {
      sessionAffinity: "ClientIP",
    }),
  ];
  await plane.publish(objects);
  let running = new RunningProxy(lab, plane, "kube-proxy", mode);
  try {
    await answered(lab.agent("outside"), web);
    await answered(lab.agent("outside"), sticky);
    const held = await lab.agent("outside").probe(web, { times: 60, keep: true });
    const connections = held.filter(isAnswered).map(({ connection }) => connection ?? -1);
    assert.equal(connections.length, 60);
    const before = await affinities(lab, sticky);
    for (const [client, reached] of before) assert.equal(reached.size, 1, `${client} has affinity`);

    for (const [step, next] of steps.entries()) {
      const traffic = new Traffic(lab.agent("outside"), web, { times: 40, pauseMs: 0 });
      const previous = running.who;
      await running.kill();
      // Created while no proxy runs, so the next one has to find it.
      const fresh = { ...web, to: serviceAddress("clusterIP", "IPv4", 20 + step) };
      objects.push(...webObjects(`fresh-${step}`, fresh.to));
      await plane.publish(objects);
      const started = performance.now();
      running = new RunningProxy(lab, plane, next, mode);
      await answered(lab.agent("pod-c"), fresh);
      const took = performance.now() - started;
      // After a takeover, the proxy must also be able to change what it found.
      const later = { ...web, to: serviceAddress("clusterIP", "IPv4", 30 + step) };
      objects.splice(-2, 2, ...webObjects(`later-${step}`, later.to));
      await plane.publish(objects);
      await answered(lab.agent("pod-c"), later);
      // Includes what follows the first sync, such as kube-proxy's removal of stale chains.
      await new Promise((resolve) => setTimeout(resolve, 1500));
      const report = await traffic.stop();
      console.log(
        `    ${previous} to ${next}: honoured after ${took.toFixed(0)} ms; ${describeTraffic(report)}`,
      );

      // In mode iptables, a restart of kube-proxy itself occasionally loses one of some thousand connections.
      const isOurs = previous === "proxy" || next === "proxy";
      if (isOurs) assert.deepEqual(report.failures.slice(0, 5), []);
      assert.ok(1000 / report.perConnectionMs >= LEAST_CONNECTIONS_PER_SECOND, describeTraffic(report));
      const again = await lab.agent("outside").send(connections);
      assert.deepEqual(again.map(podOf), held.map(podOf), "every connection still has its pod");
      assert.deepEqual(await affinities(lab, sticky), before, "affinity is kept");
    }
    const taken = await kernelObjects(lab);
    // Compares with a start in an empty kernel: no leftovers of kube-proxy may remain.
    await running.kill();
    assert.equal((await lab.run("node", ["nft", "flush", "ruleset"])).code, 0);
    running = new RunningProxy(lab, plane, "proxy", mode);
    await answered(lab.agent("pod-c"), web);
    const given = new Set(await kernelObjects(lab));
    assert.deepEqual(taken.filter((object) => !given.has(object)), []);
    assert.equal(taken.length, given.size);
  } catch (error) {
    console.log(running.log.slice(-3000));
    throw error;
  } finally {
    await running[Symbol.asyncDispose]();
  }
}

/** Pods that each client reaches at a service with affinity. */
export async function affinities(
  lab: Lab,
  sticky: Target,
): Promise<ReadonlyMap<string, ReadonlySet<string>>> {
  const reached = new Map<string, ReadonlySet<string>>();
  for (const client of clients) {
    const from = machines[client].addresses.IPv4;
    const outcomes = await lab.agent(client).probe(sticky, { times: 10, from });
    reached.set(client, new Set(outcomes.map(podOf)));
  }
  return reached;
}

function describeTraffic({ connections, failures, perConnectionMs, slowestMs }: TrafficReport): string {
  return `${connections} connections, one each ${
    perConnectionMs.toFixed(1)
  } ms, ${failures.length} failed, ` +
    `the slowest in ${slowestMs.toFixed(0)} ms`;
}
