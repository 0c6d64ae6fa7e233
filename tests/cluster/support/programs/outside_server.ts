import type { Cluster } from "../cluster.ts";
import { outside } from "../places.ts";

/**
 * A server outside the cluster that answers like the pods of web.ts. It has two addresses: that of the control plane, in
 * the network of the nodes, and one that belongs to no private range.
 */
export class OutsideServer implements AsyncDisposable {
  readonly publicAddress = "203.0.113.7";
  readonly privateAddress = "192.168.89.1";
  readonly port = 8090;
  /** Name that it answers with. */
  readonly name = Deno.hostname();

  private constructor(private readonly cluster: Cluster, private readonly process: Deno.ChildProcess) {}

  static async start(cluster: Cluster): Promise<OutsideServer> {
    await cluster.run(outside, "ip", "address", "replace", "203.0.113.7/32", "dev", "lo");
    const server =
      `$PROXY_CACHE/peers/agnhost netexec --http-port=8090 --udp-port=8090 --udp-listen-addresses=203.0.113.7,192.168.89.1 >/dev/null & cat; kill $!`;
    const process = await cluster.spawn(outside, "bash", "-c", server);
    const started = new OutsideServer(cluster, process);
    const probe = ["curl", "--silent", "--fail", "--noproxy", "*", "http://203.0.113.7:8090/healthz"];
    await cluster.until(
      "the server outside the cluster",
      () => cluster.run(outside, ...probe).then(() => true, () => false),
      20,
    );
    return started;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close();
    await Promise.all([this.process.stdout.cancel(), this.process.stderr.cancel(), this.process.status]);
    await this.cluster.run(outside, "ip", "address", "delete", `${this.publicAddress}/32`, "dev", "lo");
  }
}
