import type { ModelObject, ObjectRef } from "./objects/objects.ts";

/** Takes what a source yields. Calls are synchronous and cheap: the receiver only notes what changed. */
export interface Sink {
  /** A new object or the new state of a known one. */
  upsert(object: ModelObject): void;
  /** The object is gone, or no longer of interest (a Service that became headless). Unknown refs are no error. */
  delete(ref: ObjectRef): void;
  /** Called once, after everything that existed at the start has been upserted. */
  synced(): void;
  /** Contact with the source was lost (with the reason) or regained (undefined): what is in force stays so. */
  connected(problem: string | undefined): void;
}

/** Where objects come from: the Kubernetes API or a directory of manifests. */
export interface Source {
  /** Feeds the sink until the signal aborts. Throws only for what cannot heal by waiting (unreadable kubeconfig …). */
  run(sink: Sink, signal: AbortSignal): Promise<void>;
  /** Reads everything again (SIGHUP). */
  reload(): void;
}
