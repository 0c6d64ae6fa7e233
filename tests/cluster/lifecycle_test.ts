import assert from "node:assert/strict";
import { Balancer } from "./support/balancer.ts";
import { Cluster, type KubernetesObject } from "./support/cluster.ts";
import { dependentSteps } from "./support/dependent_steps.ts";
import { assertUnharmedExcept, type Circumstances } from "./support/harm.ts";
import { linesInKernel } from "./support/kernel_state.ts";
import { balanced, MovingWorkload, nodePorts } from "./support/moving_workload.ts";
import { start, stop } from "./support/parts.ts";
import { onNode, outside } from "./support/places.ts";
import { ServingWatch } from "./support/serving_watch.ts";
import { Traffic, type TrafficReport } from "./support/traffic.ts";
import { UdpMoves } from "./support/udp_moves.ts";
import { NAMESPACE, service } from "./support/workload.ts";

// The life of a cluster, with traffic from pods and from outside. No connection may fail and none may be lost, with the
// exceptions of support/harm.ts: connections to pods that end, and those to pods of a node that is down as long as the
// control plane does not know it.

/** Number of the node that is drained, rebooted, fails, and is deleted. Clients are on the others. */
const VICTIM = 3;

for (const mode of ["nftables", "iptables", "ebpf"] as const) {
  Deno.test(`nodes, control plane and rollouts, in mode ${mode}`, async (t) => {
    await using cluster = await Cluster.start({ nodes: 3, subject: mode });
    const life = await Life.begin(cluster);
    await using _balancer = life.balancer;
    const { workload, victim, survivors } = life;
    const step = dependentSteps(t);

    await step(
      "services work while the API server is away for 30 s, and follow it when it is back",
      async () => {
        await life.during("the absence", cluster.nodes, async (traffic) => {
          await stop("kube-apiserver");
          traffic.mark("API server is away");
          await pause(30);
          await start("kube-apiserver");
          traffic.mark("API server is back");
          await life.mustFollow("after-apiserver");
        });
      },
    );

    await step("services work while etcd is away for 10 s, and follow it when it is back", async () => {
      await life.during("the absence", cluster.nodes, async (traffic) => {
        await stop("etcd");
        traffic.mark("etcd is away");
        await pause(10);
        await start("etcd");
        traffic.mark("etcd is back");
        await life.mustFollow("after-etcd");
      });
    });

    await step("draining a node harms no connection, except by pods that end", async () => {
      await life.during("the drain", cluster.nodes, async (traffic) => {
        await life.drain();
        traffic.mark("drained");
        await workload.settled();
        assert.deepEqual(await workload.serversOn(victim), new Set());
      });
    });

    await step("rebooting a drained node harms no connection of others, and it serves again", async () => {
      await life.during("the reboot", survivors, async (traffic) => {
        await stop(VICTIM);
        traffic.mark("down");
        await pause(5);
        const startedAt = performance.now();
        traffic.mark("up");
        await Promise.all([start(VICTIM), life.mustServe(victim)]);
        console.log(`${mode}: the node port answers ${seconds(startedAt)} s after the start of the node`);
      }, { rebooted: true });
      await life.during("the time after the reboot", [victim], () => pause(5));
      await cluster.kubectl("uncordon", victim);
    });

    await step("a node that fails harms only connections to its pods, until it is noticed", async () => {
      await workload.rollOut();
      const ended = await workload.serversOn(victim);
      assert.notEqual(ended.size, 0, "the node has servers");
      const outage = { from: Date.now(), to: Infinity };
      await life.during("the failure", survivors, async (traffic) => {
        // Connections that are being established when the node fails are lost, too.
        outage.from = Date.now() - 1000;
        await stop(VICTIM);
        traffic.mark("down");
        await life.mustBeNoticed(victim);
        outage.to = Date.now() + 1000;
        traffic.mark("noticed");
        await pause(10);
        traffic.mark("up");
        await Promise.all([start(VICTIM), life.mustServe(victim)]);
        await workload.settled();
        return { ended, outage };
      }, { rebooted: true });
      await life.during("the time after the failure", cluster.nodes, () => pause(5));
    });

    await step("a rollout of 30 pods harms no connection, except by pods that end", async () => {
      await life.during("the rollout", cluster.nodes, async (traffic) => {
        await workload.scale(30);
        traffic.mark("rollout");
        await workload.rollOut();
        traffic.mark("scale down");
        await workload.scale(6);
      });
    });

    await step(
      "deleting a drained node harms no connection, and leaves nothing of it on others",
      async () => {
        await life.during("the deletion", survivors, async (traffic) => {
          await life.drain();
          await workload.settled();
          traffic.mark("drained");
          await cluster.kubectl("delete", "node", victim);
          traffic.mark("deleted");
          await stop(VICTIM);
          traffic.mark("down");
          await pause(5);
        });
        for (const node of survivors) {
          assert.deepEqual(await linesInKernel(cluster, mode, node, podPrefixes(VICTIM)), [], node);
        }
      },
    );

    await step("deleting everything leaves nothing on the nodes", async () => {
      const addresses = await life.addressesOfServices();
      await cluster.kubectl("delete", "namespace", NAMESPACE);
      for (const node of survivors) {
        await cluster.until(
          `${node} to have no rules`,
          async () => (await linesInKernel(cluster, mode, node, addresses)).length === 0,
        );
      }
    });
  });
}

/** A cluster with traffic. */
class Life {
  private constructor(
    private readonly cluster: Cluster,
    readonly workload: MovingWorkload,
    readonly balancer: Balancer,
    readonly victim: string,
    readonly survivors: readonly string[],
  ) {}

  static async begin(cluster: Cluster): Promise<Life> {
    const workload = await MovingWorkload.create(cluster);
    // In a cluster that ran before, a node may have been drained.
    const serve = await Promise.all(cluster.nodes.map((node) => workload.serversOn(node)));
    if (serve.some(({ size }) => size === 0)) await workload.rollOut();
    const victim = cluster.nodes[VICTIM - 1] ?? "";
    const nodes = (await Promise.all(cluster.nodes.map((node) => cluster.addressesOf(node)))).flat();
    const balancer = await Balancer.start(cluster, {
      addresses: Object.values(balanced),
      nodes,
      nodePort: nodePorts.local,
      healthPort: nodePorts.localHealth,
    });
    return new Life(cluster, workload, balancer, victim, cluster.nodes.filter((node) => node !== victim));
  }

  /**
   * Runs a step with traffic of clients on these nodes, and from outside through them. Fails if it was harmed, except
   * by pods that ended, or if a proxy was restarted, except on a node that was rebooted.
   */
  async during(
    name: string,
    nodes: readonly string[],
    step: (traffic: Traffic) => Promise<Pick<Circumstances, "ended" | "outage"> | void>,
    { rebooted = false } = {},
  ): Promise<void> {
    const proxies = await this.#proxies(rebooted);
    await using watch = await ServingWatch.start(this.cluster, NAMESPACE, "web");
    const clients = await this.workload.clients(nodes);
    await using traffic = await Traffic.start(this.cluster, clients);
    using udp = new UdpMoves(traffic, clients);
    traffic.mark(name);
    const exceptions = await step(traffic);
    traffic.mark(`the end of ${name}`);
    await pause(2);
    const report = await traffic.stop();
    const ended = exceptions?.ended ?? await this.#endedOf(report);
    assertUnharmedExcept({ ...exceptions, ended, stops: watch.stops, moves: udp.moves }, report);
    assert.deepEqual(await this.#proxies(rebooted), proxies, "the proxies were not restarted");
  }

  drain(): Promise<string> {
    return this.cluster.kubectl("drain", this.victim, "--ignore-daemonsets", "--timeout=180s");
  }

  /** Waits until a new Service is served. */
  async mustFollow(name: string): Promise<void> {
    // The API server refuses some requests when it has just started.
    const create = () => this.cluster.apply(service(name, { type: "ClusterIP" }));
    await this.cluster.until(`${name} to be created`, () => create().then(() => true, () => false));
    const { spec } = await this.cluster.get("--namespace", NAMESPACE, "service", name);
    for (const node of this.cluster.nodes) {
      for (const address of spec.clusterIPs) await this.#answers(() => this.#curl(onNode(node), address, 80));
    }
  }

  /** Waits until a node answers on its node ports. */
  async mustServe(node: string): Promise<void> {
    const addresses = await this.cluster.addressesOf(node);
    for (const address of addresses) await this.#answers(() => this.#curl(outside, address, nodePorts.web));
  }

  /** Waits until no EndpointSlice has a ready endpoint on a node. */
  async mustBeNoticed(node: string): Promise<void> {
    await this.cluster.until(`${node} to be noticed`, async () => {
      const { items } = await this.cluster.get("--namespace", NAMESPACE, "endpointslices");
      const endpoints = items.flatMap(({ endpoints }: KubernetesObject) => endpoints ?? []);
      return !endpoints.some(({ nodeName, conditions }: KubernetesObject) =>
        nodeName === node && conditions.ready
      );
    });
  }

  async addressesOfServices(): Promise<readonly string[]> {
    const { items } = await this.cluster.get("--namespace", NAMESPACE, "services");
    return items.flatMap(({ spec }: KubernetesObject) => spec.clusterIPs);
  }

  async #curl(place: Parameters<Cluster["run"]>[0], address: string, port: number): Promise<void> {
    const host = address.includes(":") ? `[${address}]` : address;
    const url = `http://${host}:${port}/hostname`;
    await this.cluster.run(place, "curl", "--silent", "--fail", "--noproxy", "*", "--max-time", "1", url);
  }

  async #answers(attempt: () => Promise<void>): Promise<void> {
    await this.cluster.until("an answer", () => attempt().then(() => true, () => false));
  }

  /** Pods that answered in a report and exist no more. */
  async #endedOf({ flows }: TrafficReport): Promise<ReadonlySet<string>> {
    const exist = new Set((await this.workload.servers()).map(({ metadata }) => metadata.name));
    const answered = [...flows.values()].flatMap(({ answeredBy }) => Object.keys(answeredBy));
    return new Set(answered.filter((pod) => !exist.has(pod)));
  }

  /** Pods of the proxy that must stay, with the number of their restarts. */
  async #proxies(rebooted: boolean): Promise<readonly string[]> {
    const { items } = await this.cluster.get(
      ...["--namespace", "kube-system", "pods", "--selector", "app.kubernetes.io/name=proxy"],
    );
    return items.filter(({ spec }: KubernetesObject) => this.survivors.includes(spec.nodeName) || !rebooted)
      .map(({ metadata, status }: KubernetesObject) =>
        `${metadata.name}: ${status.containerStatuses[0].restartCount}`
      ).sort();
  }
}

/** Beginnings of the addresses of a node's pods. */
function podPrefixes(number: number): readonly string[] {
  return [`10.244.${number}.`, `fd00:10:244:${number}:`];
}

function pause(seconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, seconds * 1000));
}

function seconds(since: number): string {
  return ((performance.now() - since) / 1000).toFixed(1);
}
