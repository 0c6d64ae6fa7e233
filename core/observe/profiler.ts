import type { Session } from "node:inspector";
import { setTimeout as sleep } from "node:timers/promises";

/** Profiles of this process, as V8 makes them. The runtime's inspector is loaded only when one is made. */

/** @returns what the process did in this time, in the format .cpuprofile of Chrome's developer tools. */
export async function cpuProfile(ms: number): Promise<string> {
  await using inspector = await Inspector.open();
  await inspector.post("Profiler.enable");
  await inspector.post("Profiler.start");
  await sleep(ms);
  return JSON.stringify(Reflect.get(await inspector.post("Profiler.stop"), "profile"));
}

/**
 * Holds up the process while it is made: some 0.2 s for each MB of the heap.
 * @returns all objects in memory, in the format .heapsnapshot of Chrome's developer tools.
 */
export async function heapSnapshot(): Promise<string> {
  await using inspector = await Inspector.open();
  return await inspector.heapSnapshot();
}

class Inspector implements AsyncDisposable {
  readonly #session: Session;

  private constructor(session: Session) {
    this.#session = session;
    session.connect();
  }

  static async open(): Promise<Inspector> {
    const { Session } = await import("node:inspector");
    return new Inspector(new Session());
  }

  post(method: string): Promise<object> {
    return new Promise((resolve, reject) => {
      this.#session.post(method, (error, result) => error === null ? resolve(result ?? {}) : reject(error));
    });
  }

  async heapSnapshot(): Promise<string> {
    const chunks: string[] = [];
    this.#session.on("HeapProfiler.addHeapSnapshotChunk", ({ params }) => chunks.push(params.chunk));
    await this.post("HeapProfiler.takeHeapSnapshot");
    return chunks.join("");
  }

  async [Symbol.asyncDispose](): Promise<void> {
    // A callback of the session must not be the one that ends it.
    await sleep(0);
    this.#session.disconnect();
  }
}
