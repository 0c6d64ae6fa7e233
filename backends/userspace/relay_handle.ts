import type { NamedSockets } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import type {
  FailedListener,
  RelayedService,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "./relay/messages.ts";

/** A relay at work, as the backend uses it. Its promises reject with BackendError when the relay has ended. */
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
  /** The sockets of all listeners, by name. The object stays the same while its contents do. */
  readonly descriptors: NamedSockets;
  /**
   * Offers the listeners to the next process and waits until the connections have ended, for a limited time.
   * @param isAwaited another process is about to take the listeners, so that they are kept even without connections.
   * @returns the number of connections that were reset, because the time was over.
   */
  drain(limitMs: number, isAwaited: boolean): Promise<number>;
  /** Resolves when `drain` has begun, so that the next process can take the listeners. */
  offered(): Promise<void>;
}

/** Receives what happens in the relay between calls. */
export interface RelayObserver {
  readonly warn: (message: string, values: Readonly<Record<string, string | number>>) => void;
  /** The relay has ended by an error, and with it all connections. */
  readonly failed: (error: Error) => void;
}

/** Starts a relay. @throws BackendError when a shared listener cannot be opened. */
export type StartRelay = (settings: RelaySettings, observer: RelayObserver) => Promise<RelayHandle>;
