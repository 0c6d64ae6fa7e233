import type { ModelObject, ObjectRef } from "./objects/objects.ts";

/**
 * Receives the objects of a source. Calls are synchronous and cheap: the receiver only records the change.
 */
export interface Sink {
  /** A new object or the new state of a known one. */
  upsert(object: ModelObject): void;
  /**
   * The object is gone or no longer proxied (such as a Service that became headless). Unknown refs are no
   * error.
   */
  delete(ref: ObjectRef): void;
  /** Called once, after everything that existed at the start has been upserted. */
  synced(): void;
  /**
   * An object exists but is not used. Called again each time it is read. Undefined in a sink that does not ask.
   */
  unused?(object: UnusedObject): void;
  /** An object that was invalid is valid now, or gone. Undefined in a sink that does not ask. */
  corrected?(ref: ObjectRef): void;
  /** An object was read, as it was decoded. Undefined in a sink that does not ask. */
  read?(raw: unknown): void;
  /**
   * Contact with the source was lost (with the reason) or regained (undefined). What is in force stays in
   * force.
   */
  connected(problem: string | undefined): void;
}

/** An object that the proxy does not use. */
export interface UnusedObject {
  readonly ref: ObjectRef;
  /** "it is headless (clusterIP None)", "spec.ports: missing; a Service needs at least one" */
  readonly why: string;
  /** False if it is not for this proxy. */
  readonly isInvalid: boolean;
}

/** Origin of the objects: the Kubernetes API or a directory of manifests. */
export interface Source {
  /**
   * Feeds the sink until the signal aborts. Throws only for errors that a retry cannot fix (unreadable
   * kubeconfig …).
   */
  run(sink: Sink, signal: AbortSignal): Promise<void>;
  /** Reads everything again (SIGHUP). Resolves when the sink has everything, however long the origin takes. */
  reload(): Promise<void>;
  /** Tells the owner of a Service. Never waits. Undefined in a source that has no way to. */
  warn?(warning: ServiceWarning): void;
  /** Records on the Node what this proxy does. Never waits. Undefined in a source that has no way to. */
  tell?(event: NodeEvent): void;
}

/** Something that this proxy does on its node. */
export interface NodeEvent {
  /** The occurrence, in CamelCase: "Starting". */
  readonly reason: string;
  /** The action, in CamelCase: "StartKubeProxy". */
  readonly action: string;
}

/** A problem that the owner of a Service can solve. */
export interface ServiceWarning {
  readonly namespace: string;
  readonly name: string;
  /** Why, in CamelCase: "FrontendConflict". */
  readonly reason: string;
  /** The action that failed, in CamelCase: "ClaimFrontend". */
  readonly action: string;
  readonly note: string;
}
