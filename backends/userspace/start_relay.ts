import { BackendError, type Draining } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import { Relay, RelayError } from "./relay.ts";
import type { FailedListener, RelayedService, RelayReport } from "./relay/messages.ts";
import type { RelayHandle, StartRelay } from "./relay_handle.ts";

/** Starts the relay in a thread of its own. Its errors are those of a backend. */
export const startRelay: StartRelay = async (settings, observer) =>
  new StartedRelay(await translated(Relay.start(settings, observer)));

class StartedRelay implements RelayHandle {
  readonly #relay: Relay;

  constructor(relay: Relay) {
    this.#relay = relay;
  }

  get listeners(): RelayHandle["listeners"] {
    return this.#relay.listeners;
  }

  replace(services: Iterable<RelayedService>): Promise<readonly FailedListener[]> {
    return translated(this.#relay.replace(services));
  }

  update(
    services: readonly RelayedService[],
    removed: readonly PlanKey[],
  ): Promise<readonly FailedListener[]> {
    return translated(this.#relay.update(services, removed));
  }

  report(): Promise<RelayReport> {
    return translated(this.#relay.report());
  }

  get descriptors(): RelayHandle["descriptors"] {
    return this.#relay.descriptors;
  }

  async drain(limitMs: number, isAwaited: boolean): Promise<Draining> {
    const ended = translated(this.#relay.drain(limitMs, isAwaited));
    // The caller waits for it later.
    ended.catch(() => {});
    await translated(this.#relay.offered());
    return { ended };
  }

  [Symbol.dispose](): void {
    this.#relay[Symbol.dispose]();
  }
}

async function translated<Result>(call: Promise<Result>): Promise<Result> {
  try {
    return await call;
  } catch (error) {
    if (!(error instanceof RelayError)) throw error;
    throw new BackendError(`userspace: ${error.message}`, [], { cause: error });
  }
}
