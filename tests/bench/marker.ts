import type { ApiServer } from "../core/kube/api_server.ts";
import { rawSlice } from "../core/kube/raw_objects.ts";

/** Addresses of this network namespace; a pod answers a connection with its number in this list. */
const pods = ["10.244.0.1", "10.244.0.2"] as const;
export type Pod = 0 | 1;

/** A service whose one endpoint moves between two pods: what is sent to it says what is in force. */
export class Marker implements Disposable {
  readonly #server: ApiServer;
  readonly #address: string;
  readonly #listeners = pods.map((hostname) => Deno.listen({ hostname, port: 8080 }));

  /** @param address its ClusterIP; the route to it leads out of this network namespace. */
  constructor(server: ApiServer, address: string) {
    this.#server = server;
    this.#address = address;
    server.put({
      apiVersion: "v1",
      kind: "Service",
      metadata: { name: "marker", namespace: "default" },
      spec: { clusterIP: address, clusterIPs: [address], ports: [{ port: 80, protocol: "TCP" }] },
    });
    for (const [pod, listener] of this.#listeners.entries()) serve(pod, listener);
  }

  /** The only endpoint from now on. */
  pointTo(pod: Pod): void {
    this.#server.put(rawSlice("marker-1", "marker", [pods[pod]]));
  }

  /** Milliseconds until connections are answered by this pod; infinite when they are not within the limit. */
  async reached(pod: Pod, limitMs: number): Promise<number> {
    const started = performance.now();
    for (;;) {
      const answer = await this.#ask();
      const waited = performance.now() - started;
      if (answer === pod) return waited;
      if (waited > limitMs) return Infinity;
      // To a hundredth of what has passed: asking costs time of the processors that are measured.
      await pause(Math.min(100, Math.max(1, waited / 100)));
    }
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.close();
  }

  /** Who answers; none soon enough is undefined. */
  async #ask(): Promise<number | undefined> {
    const { promise: silence, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, 20);
    try {
      return await Promise.race([this.#answer(), silence]);
    } finally {
      clearTimeout(timer);
    }
  }

  async #answer(): Promise<number | undefined> {
    try {
      using connection = await Deno.connect({ hostname: this.#address, port: 80 });
      const buffer = new Uint8Array(1);
      await connection.read(buffer);
      return buffer[0];
    } catch {
      return undefined;
    }
  }
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

async function serve(pod: number, listener: Deno.TcpListener): Promise<void> {
  for await (const connection of listener) {
    connection.write(new Uint8Array([pod])).catch(() => {}).then(() => connection.close());
  }
}
