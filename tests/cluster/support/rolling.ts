import { Cluster, type Subject } from "./cluster.ts";
import { MovingEndpoint } from "./moving_endpoint.ts";
import { inPod } from "./places.ts";
import { assertUnharmed, summarize, Traffic } from "./traffic.ts";
import { NAMESPACE, service, Workload } from "./workload.ts";

/** A cluster with the workload, on which something is changed while there is traffic. */
export class RollingTest implements AsyncDisposable {
  private constructor(
    readonly cluster: Cluster,
    private readonly workload: Workload,
    private readonly moving: MovingEndpoint,
  ) {}

  static async start(subject: Subject): Promise<RollingTest> {
    const cluster = await Cluster.start({ nodes: 2, subject });
    try {
      const workload = await Workload.create(cluster);
      return new RollingTest(cluster, workload, await MovingEndpoint.create(cluster, workload));
    } catch (error) {
      await cluster[Symbol.asyncDispose]();
      throw error;
    }
  }

  /**
   * Makes a change while there is traffic. Afterwards, Services that are new must be reachable, and UDP must leave an
   * endpoint that is removed.
   */
  async during(change: string, make: () => Promise<void>): Promise<void> {
    await using traffic = await Traffic.start(this.cluster, this.moving.addTo(await this.workload.clients()));
    await pause(2000);
    traffic.mark(change);
    await make();
    traffic.mark(`${change}: done`);
    await this.moving.move(traffic);
    traffic.mark(`${change}: a new Service`);
    await this.#assertNewServicesWork();
    await pause(3000);
    const report = await traffic.stop();
    console.log(`${change}: ${summarize(report)}`);
    assertUnharmed(report);
  }

  async #assertNewServicesWork(): Promise<void> {
    await this.cluster.apply(service("new", {}));
    const { clusterIPs } = (await this.cluster.get("--namespace", NAMESPACE, "service", "new")).spec;
    for (const pod of this.workload.clientPods) {
      for (const address of clusterIPs) {
        const url = `http://${address.includes(":") ? `[${address}]` : address}/hostname`;
        await this.cluster.run(
          inPod(NAMESPACE, pod),
          ...["curl", "--silent", "--show-error", "--fail", "--noproxy", "*", "--max-time", "5"],
          ...["--retry", "5", "--retry-all-errors", "--retry-delay", "1", url],
        );
      }
    }
    await this.cluster.kubectl("--namespace", NAMESPACE, "delete", "service", "new");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.cluster[Symbol.asyncDispose]();
  }
}

function pause(milliseconds: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, milliseconds));
}
