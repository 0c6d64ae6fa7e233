import { linesOf } from "../../lab/lines.ts";
import type { Cluster } from "./cluster.ts";
import { outside } from "./places.ts";

export interface BalancerOptions {
  /** Addresses that clients connect to, on port 80. */
  readonly addresses: readonly string[];
  /** Addresses of the nodes. */
  readonly nodes: readonly string[];
  readonly nodePort: number;
  readonly healthPort: number;
}

const program = new URL("./balancer_program.ts", import.meta.url).pathname;

/** Balancer outside of the cluster for a Service with externalTrafficPolicy Local: see balancer_program.ts. */
export class Balancer implements AsyncDisposable {
  /** Addresses of the nodes that are healthy. */
  healthy: readonly string[] = [];
  readonly #ended: Promise<void>;

  private constructor(private readonly process: Deno.ChildProcess) {
    this.#ended = this.#read();
  }

  /** Returns when every node is healthy. */
  static async start(cluster: Cluster, options: BalancerOptions): Promise<Balancer> {
    // Packets leave the machine only if there is a route, also when they are translated.
    for (const address of options.addresses) {
      const family = address.includes(":");
      const [via = ""] = options.nodes.filter((node) => node.includes(":") === family);
      await cluster.run(outside, "ip", "route", "replace", address, "via", via);
    }
    const balancer = new Balancer(
      await cluster.spawn(
        outside,
        ...["env", "-u", "http_proxy", "-u", "HTTP_PROXY", Deno.execPath(), "run", "--quiet", "--no-check"],
        ...["--allow-all", program, JSON.stringify(options)],
      ),
    );
    try {
      await cluster.until(
        "every node to be healthy for the balancer",
        () => Promise.resolve(options.nodes.every((node) => balancer.healthy.includes(node))),
      );
    } catch (error) {
      await balancer[Symbol.asyncDispose]();
      throw error;
    }
    return balancer;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close().catch(() => {});
    await this.#ended;
  }

  async #read(): Promise<void> {
    const errors = new Response(this.process.stderr).text();
    for await (const line of linesOf(this.process.stdout)) this.healthy = JSON.parse(line);
    const { success } = await this.process.status;
    if (!success) console.error(`the balancer ended early: ${await errors}`);
  }
}
