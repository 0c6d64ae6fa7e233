import type { Draining, NamedSockets } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import type {
  FailedListener,
  RelayedService,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "./relay/messages.ts";

/** A relay at work, as the backend uses it. */
export interface RelayHandle extends Disposable {
  /** The shared listeners with the ports in use. */
  readonly listeners: readonly SharedListener[];
  /**
   * Resolves when the relay has these services and no others, with the frontends that it could not listen for.
   * @param services are made while they are sent.
   */
  replace(services: Iterable<RelayedService>): Promise<readonly FailedListener[]>;
  /** Resolves when the changes are in force, with those frontends that it could not listen for. */
  update(
    services: readonly RelayedService[],
    removed: readonly PlanKey[],
  ): Promise<readonly FailedListener[]>;
  report(): Promise<RelayReport>;
  /** The sockets of the shared listeners, by name. */
  readonly descriptors: NamedSockets;
  /**
   * Lets connections finish, and offers the listeners to the next process. Resolves when that has begun.
   * @param isAwaited the next process waits, so that the listeners are kept for it even without connections.
   */
  drain(limitMs: number, isAwaited: boolean): Promise<Draining>;
}

/** Receives what happens in the relay between calls. */
export interface RelayObserver {
  readonly warn: (message: string, values: Readonly<Record<string, string | number>>) => void;
  /** The relay has ended by an error, and with it all connections. */
  readonly failed: (error: Error) => void;
}

/** Starts a relay. @throws Error when a shared listener cannot be opened. */
export type StartRelay = (settings: RelaySettings, observer: RelayObserver) => Promise<RelayHandle>;
