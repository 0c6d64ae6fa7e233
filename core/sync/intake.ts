import type { Sink } from "../source.ts";
import type { ModelObject, ObjectRef } from "../objects/objects.ts";
import type { StoreChange } from "../objects/store.ts";
import type { Log } from "../observe/log.ts";
import { sameContext, sameNodePortAddresses, sameSettingsOfAll } from "./node_view.ts";
import type { NodeView, Planning } from "./plan_queue.ts";
import type { SyncLoop } from "./sync_loop.ts";

export interface IntakeOptions {
  readonly planning: Planning;
  readonly loop: Pick<SyncLoop, "changed" | "reconcile">;
  /** The node as it is now; called after the node, the ServiceCIDRs or the interfaces changed. */
  readonly view: () => NodeView;
  readonly observer: IntakeObserver;
  readonly log: Log;
}

/** Told what comes in: feeds metrics and health. */
export interface IntakeObserver {
  received(kind: ModelObject["kind"]): void;
  /** Of the own Node. */
  eligible(eligible: boolean): void;
  connected(connected: boolean): void;
}

/**
 * Takes objects in and wakes the loop. Nothing is planned before everything that existed at the start is known: no
 * rules from partial data.
 */
export class Intake implements Sink {
  readonly #options: IntakeOptions;
  readonly #synced = Promise.withResolvers<void>();
  #isSynced = false;

  constructor(options: IntakeOptions) {
    this.#options = options;
  }

  /** Resolves when the initial state is complete. */
  get initialised(): Promise<void> {
    return this.#synced.promise;
  }

  upsert(object: ModelObject): void {
    this.#options.observer.received(object.kind);
    this.#react(this.#options.planning.upsert(object));
  }

  delete(ref: ObjectRef): void {
    this.#options.observer.received(ref.kind);
    this.#react(this.#options.planning.delete(ref));
  }

  synced(): void {
    this.#isSynced = true;
    this.#options.planning.setView(this.#options.view());
    this.#synced.resolve();
  }

  connected(problem: string | undefined): void {
    this.#options.observer.connected(problem === undefined);
    if (problem !== undefined) {
      this.#options.log.warn("The source of objects cannot be reached; what is in force stays in force", {
        problem,
      });
    }
  }

  /** Addresses of interfaces came or went. */
  interfacesChanged(): void {
    if (this.#isSynced) this.#renewView();
  }

  #react(change: StoreChange): void {
    const { planning, loop, observer } = this.#options;
    if (change.node) observer.eligible(planning.store.node?.eligible ?? false);
    if (!this.#isSynced) return;
    if (change.node || change.serviceCidrs) this.#renewView();
    if (change.services.length > 0) loop.changed();
  }

  #renewView(): void {
    const { planning, loop, log } = this.#options;
    const old = planning.view;
    const view = this.#options.view();
    if (!sameContext(old.context, view.context)) {
      log.info("The node changed: planning every service again", { node: view.context.nodeName });
      planning.setView(view);
      loop.changed();
    }
    if (!sameSettingsOfAll(old.settings, view.settings)) {
      planning.setSettings(view.settings);
      loop.reconcile("node settings changed");
    }
    if (!sameNodePortAddresses(old.nodePortAddresses, view.nodePortAddresses)) {
      planning.setNodePortAddresses(view.nodePortAddresses);
      loop.changed();
    }
  }
}
