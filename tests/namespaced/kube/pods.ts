import { rawSlice } from "../../core/kube/raw_objects.ts";
import type { RawObject } from "../../core/kube/raw_objects.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { until } from "./proxy_process.ts";

/** Address of each pod in the network namespace of this process. */
const addresses = { "pod-a": "10.244.0.1", "pod-b": "10.244.0.2" } as const;
export type Pod = keyof typeof addresses;

/** Servers on addresses of this network namespace that send their name, and a client. */
export class Pods implements Disposable {
  readonly #listeners: Deno.TcpListener[] = [];

  static async start(): Promise<Pods> {
    for (const address of Object.values(addresses)) {
      await run("ip", "address", "add", `${address}/32`, "dev", "lo");
    }
    // Connections to services need a route. They are translated on output; what is not translated is lost.
    await run("ip", "link", "add", "out", "type", "veth", "peer", "name", "nowhere");
    await run("ip", "link", "set", "out", "up");
    await run("ip", "link", "set", "nowhere", "up");
    await run("ip", "route", "add", "10.96.0.0/16", "dev", "out", "src", addresses["pod-a"]);
    const pods = new Pods();
    for (const [name, hostname] of Object.entries(addresses)) {
      pods.#serve(name, Deno.listen({ hostname, port: 8080 }));
    }
    return pods;
  }

  /** Name of the pod that answers; "refused" or "timeout" if none does. */
  async at(address: string, port = 80): Promise<string> {
    const { promise: silence, resolve } = Promise.withResolvers<string>();
    const timer = setTimeout(() => resolve("timeout"), 1000);
    try {
      return await Promise.race([ask(address, port), silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  /** Waits until this pod answers. */
  async until(
    address: string,
    who: Pod | "refused" | "timeout",
    withinMs = 10_000,
    port = 80,
  ): Promise<void> {
    let answer = "";
    await until(
      async () => (answer = await this.at(address, port)) === who,
      `${address}:${port} reaches ${who}`,
      withinMs,
      () => `last: ${answer}`,
    );
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.close();
  }

  async #serve(name: string, listener: Deno.TcpListener): Promise<void> {
    this.#listeners.push(listener);
    for await (const connection of listener) {
      connection.write(new TextEncoder().encode(name)).catch(() => {}).then(() => connection.close());
    }
  }
}

/** EndpointSlice of a Service with the pod as its endpoint. */
export function sliceTo(pod: Pod, service: string): RawObject {
  return rawSlice(`${service}-1`, service, [addresses[pod]]);
}

async function ask(hostname: string, port: number): Promise<string> {
  try {
    using connection = await Deno.connect({ hostname, port });
    const buffer = new Uint8Array(64);
    const length = await connection.read(buffer);
    return new TextDecoder().decode(buffer.subarray(0, length ?? 0));
  } catch (error) {
    if (error instanceof Deno.errors.ConnectionRefused) return "refused";
    throw error;
  }
}
