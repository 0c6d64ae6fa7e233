import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import type { StoreChange } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import type { Sink, UnusedObject } from "../source.ts";
import type { NodeView, NodeViewDifference } from "./node_view.ts";
import { type NodeGap, sameGap } from "../plan/node_gaps.ts";
import type { PlanQueue } from "./plan_queue.ts";
import type { SyncLoop } from "./sync_loop.ts";

export interface IntakeOptions {
  readonly queue: PlanQueue;
  readonly loop: Pick<SyncLoop, "changed" | "reconcile">;
  /**
   * Returns the current view of the node; called after the node, the ServiceCIDRs or the interfaces changed.
   */
  readonly view: () => NodeView;
  readonly observer: IntakeObserver;
  readonly log: Log;
}

/** Receives the events of the intake: feeds metrics and health. */
export interface IntakeObserver {
  received(kind: ModelObject["kind"]): void;
  /** An object exists, but is invalid. Its last valid state stays. */
  invalid(object: UnusedObject): void;
  /** An invalid object is valid now, or gone. */
  corrected(ref: ObjectRef): void;
  /** This node's Node object changed. */
  eligible(eligible: boolean): void;
  connected(connected: boolean): void;
}

/**
 * Receives objects and wakes the sync loop. Nothing is planned before everything that existed at the start is
 * known: no rules from partial data.
 */
export class Intake implements Sink {
  readonly #options: IntakeOptions;
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;
  /** The last gaps that were logged. */
  #gaps: readonly NodeGap[] = [];

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Resolves when the initial state is complete. */
  get initialised(): Promise<void> {
    return this.#synced.promise;
  }

  upsert(object: ModelObject): void {
    this.#options.observer.received(object.kind);
    this.#react(this.#options.queue.upsert(object));
  }

  delete(ref: ObjectRef): void {
    this.#options.observer.received(ref.kind);
    this.#react(this.#options.queue.delete(ref));
  }

  unused(object: UnusedObject): void {
    if (object.isInvalid) this.#options.observer.invalid(object);
  }

  corrected(ref: ObjectRef): void {
    this.#options.observer.corrected(ref);
  }

  synced(): void {
    this.#isSynced = true;
    this.#setView();
    this.#synced.resolve();
  }

  connected(problem: string | undefined): void {
    this.#options.observer.connected(problem === undefined);
    if (problem !== undefined) {
      this.#options.log.warn("The source of objects is unreachable; the last known state stays in force", {
        problem,
      });
    }
  }

  /** Interfaces of the node gained or lost addresses. */
  interfacesChanged(): void {
    if (this.#isSynced) this.#renewView();
  }

  #react(change: StoreChange): void {
    const { queue, loop, observer } = this.#options;
    if (change.node) observer.eligible(queue.store.node?.eligible ?? false);
    if (!this.#isSynced) return;
    if (change.node || change.serviceCidrs) this.#renewView();
    if (change.services.length > 0) loop.changed();
  }

  #renewView(): void {
    const { queue, loop, log } = this.#options;
    const difference = this.#setView();
    if (difference.context) {
      log.info("The node changed; planning all services again", { node: queue.view.context.nodeName });
      loop.changed();
    }
    if (difference.settings) loop.reconcile("node settings changed");
    if (difference.nodePortAddresses) loop.changed();
  }

  #setView(): NodeViewDifference {
    const { queue, view } = this.#options;
    const current = view();
    const difference = queue.setView(current);
    this.#reportGaps(current.gaps);
    return difference;
  }

  /** Logs each gap when it appears, when its reason changes, and when it is closed. */
  #reportGaps(gaps: readonly NodeGap[]): void {
    const { log, queue } = this.#options;
    const { nodeName } = queue.view.context;
    for (const gap of gaps) {
      const { consequence, families, why, isUsual } = gap;
      if (this.#gaps.some((known) => sameGap(known, gap))) continue;
      const fields = { node: nodeName, families, why };
      if (isUsual) log.info(consequence, fields);
      else log.warn(consequence, fields);
    }
    const open = new Set(gaps.map(({ consequence }) => consequence));
    const closed = this.#gaps.filter(({ consequence }) => !open.has(consequence));
    for (const message of new Set(closed.map((gap) => gap.closed))) log.info(message, { node: nodeName });
    this.#gaps = gaps;
  }
}
