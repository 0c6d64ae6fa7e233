import type { ApiServer } from "../../core/kube/api/api_server.ts";
import { rawSlice } from "../../core/kube/raw_objects.ts";

/** Addresses of the two pods, in this network namespace. A pod answers a connection with its index in this list. */
const pods = ["10.244.0.1", "10.244.0.2"] as const;
export type Pod = 0 | 1;

/** A service whose only endpoint moves between two pods. The pod that answers shows which change is in force. */
export class Marker implements Disposable {
  readonly #server: ApiServer;
  readonly #address: string;
  readonly #listeners = pods.map((hostname) => Deno.listen({ hostname, port: 8080 }));

  /** @param address ClusterIP of the service; its route must lead out of this network namespace. */
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

  /** Makes a pod the only endpoint. */
  pointTo(pod: Pod): void {
    this.#server.put(rawSlice("marker-1", "marker", [pods[pod]]));
  }

  /** Waits until this pod answers. Returns the time in milliseconds, or Infinity after the limit. */
  async reached(pod: Pod, limitMs: number): Promise<number> {
    const started = performance.now();
    for (;;) {
      const answer = await this.#answerWithTimeout();
      const waited = performance.now() - started;
      if (answer === pod) return waited;
      if (waited > limitMs) return Infinity;
      // The interval is a hundredth of the time passed, because polling takes CPU time from the process under test.
      await pause(Math.min(100, Math.max(1, waited / 100)));
    }
  }

  [Symbol.dispose](): void {
    for (const listener of this.#listeners) listener.close();
  }

  /** Index of the pod that answers within 20 ms; otherwise undefined. */
  async #answerWithTimeout(): Promise<number | undefined> {
    const { promise: timeout, resolve } = Promise.withResolvers<undefined>();
    const timer = setTimeout(resolve, 20);
    try {
      return await Promise.race([this.#answer(), timeout]);
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
