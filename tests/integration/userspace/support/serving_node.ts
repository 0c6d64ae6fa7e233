import { Node } from "../../cli/support/node.ts";
import { service, slice } from "../../cli/support/objects.ts";

const ADDRESS = "192.0.2.1";
const SERVICE = "10.96.0.10";
const ENDPOINT = "10.244.1.11";
const NODE_PORT = 30080;

/** A node with a service and its endpoint, and clients on the node that connect all the time. */
export class ServingNode implements AsyncDisposable {
  readonly #programs: Deno.ChildProcess[] = [];

  private constructor(readonly node: Node) {}

  static async make(): Promise<ServingNode> {
    const serving = new ServingNode(await Node.make());
    const { node } = serving;
    const ip = (...args: readonly string[]) => node.namespace.run("ip", ...args);
    await ip("address", "add", `${ADDRESS}/32`, "dev", "lo");
    await ip("route", "add", "local", "10.244.0.0/16", "dev", "lo");
    await ip("route", "add", "10.96.0.0/16", "dev", "lo", "src", ADDRESS);
    await node.write("web.json", [
      service("web", SERVICE, { type: "NodePort", ports: [{ port: 80, nodePort: NODE_PORT }] }),
      slice("web", [ENDPOINT]),
    ]);
    serving.start(program("echo.py"), ENDPOINT, "8080");
    return serving;
  }

  /** Starts a program that ends with the test. */
  start(...command: readonly string[]): Deno.ChildProcess {
    const args = ["netns", "exec", this.node.namespace.name, "python3", ...command];
    const options = { args, stdin: "piped", stdout: "piped", stderr: "inherit" } as const;
    const child = new Deno.Command("ip", options).spawn();
    this.#programs.push(child);
    return child;
  }

  /**
   * Starts clients.
   * @param of "nodePort" for those that connect to the node port on a loopback address.
   * The result stops them, and returns the number of answered connections and of failures by kind.
   */
  clients(of: "clusterIP" | "nodePort" = "clusterIP"): () => Promise<Readonly<Record<string, number>>> {
    const child = this.start(
      program("clients.py"),
      ...(of === "clusterIP" ? [SERVICE, "80"] : ["127.0.0.1", `${NODE_PORT}`]),
    );
    return async () => {
      await child.stdin.close();
      return JSON.parse(await new Response(child.stdout).text());
    };
  }

  async [Symbol.asyncDispose](): Promise<void> {
    for (const child of this.#programs) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await child.status;
      await child.stdin.close().catch(() => {});
      if (!child.stdout.locked) await child.stdout.cancel().catch(() => {});
    }
    await this.node[Symbol.asyncDispose]();
  }
}

export function program(name: string): string {
  return new URL(name, import.meta.url).pathname;
}
