import type { ModelObject, ObjectRef } from "../../../core/objects/objects.ts";
import { describeRef } from "../../../core/objects/parse/index.ts";
import type { Sink } from "../../../core/source.ts";

/** Records the calls of a source, and lets a test wait for a condition. */
export class RecordingSink implements Sink {
  /** Objects by describeRef: "Service default/web". */
  readonly objects = new Map<string, ModelObject>();
  /** "upsert Service default/web", "delete …", "synced", "connected: problem". */
  readonly calls: string[] = [];
  isSynced = false;
  problem: string | undefined;
  readonly #waiting = new Set<() => void>();

  upsert(object: ModelObject): void {
    const key = describeRef({
      kind: object.kind,
      namespace: "namespace" in object ? object.namespace : "",
      name: object.name,
    });
    this.objects.set(key, object);
    this.#note(`upsert ${key}`);
  }

  delete(ref: ObjectRef): void {
    this.objects.delete(describeRef(ref));
    this.#note(`delete ${describeRef(ref)}`);
  }

  synced(): void {
    this.isSynced = true;
    this.#note("synced");
  }

  connected(problem: string | undefined): void {
    this.problem = problem;
    this.#note(`connected: ${problem ?? "yes"}`);
  }

  get names(): string[] {
    return [...this.objects.keys()].sort();
  }

  /** Waits for a condition. @returns the time until it was true, in milliseconds */
  async until(condition: () => boolean, what: string, limit = 20_000): Promise<number> {
    const start = performance.now();
    while (!condition()) {
      const left = start + limit - performance.now();
      if (left <= 0) {
        throw new Error(`not within ${limit} ms: ${what}; so far:\n${this.calls.slice(-30).join("\n")}`);
      }
      await new Promise<void>((resolve) => {
        const timer = setTimeout(resolve, Math.min(left, 20));
        this.#waiting.add(() => {
          clearTimeout(timer);
          resolve();
        });
      });
    }
    return performance.now() - start;
  }

  #note(call: string): void {
    this.calls.push(call);
    const waiting = [...this.#waiting];
    this.#waiting.clear();
    for (const wake of waiting) wake();
  }
}
