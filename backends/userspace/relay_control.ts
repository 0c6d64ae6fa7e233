import {
  BackendError,
  type BackendMetric,
  type Draining,
  type NamedSockets,
} from "../../core/backend/contract.ts";
import type { RelayState } from "../../core/backend/follower.ts";
import type { Log } from "../../core/observe/log.ts";
import { closeSocket } from "../../ffi/socket/stream.ts";
import type { UserspaceOptions } from "./options.ts";
import { HAND_OVER_NAME, takeListeners } from "./relay/listeners/hand_over.ts";
import { DEFAULT_RELAY_SETTINGS, type RelayReport, type RelaySettings } from "./relay/messages.ts";
import type { Warn } from "./relay/rate_limited_warnings.ts";
import type { RelayHandle, StartRelay } from "./relay_handle.ts";
import { relayMetrics, relayStateOf } from "./relay_metrics.ts";
import { RelayTotals, type Totals } from "./relay_totals.ts";

/** The relay of a backend, which is started when it is needed, and again after it has failed. */
export class RelayControl implements Disposable {
  readonly #options: UserspaceOptions;
  readonly #start: StartRelay;
  readonly #failed: (cause: string) => void;
  readonly #totals = new RelayTotals();
  #relay: RelayHandle | undefined;
  #log: Pick<Log, "warn"> | undefined;
  /** Sockets of an earlier process, for the next relay. */
  #inherited: NamedSockets = {};

  /**
   * @param start the seam for tests.
   * @param failed called when the relay has ended by an error.
   */
  constructor(options: UserspaceOptions, start: StartRelay, failed: (cause: string) => void) {
    this.#options = options;
    this.#start = start;
    this.#failed = failed;
  }

  /** @throws BackendError if no relay runs. */
  get running(): RelayHandle {
    if (this.#relay === undefined) throw new BackendError("userspace: the relay has ended");
    return this.#relay;
  }

  /** The sockets of all listeners, by name. The object stays the same while its contents do. */
  get descriptors(): NamedSockets {
    return this.#relay?.descriptors ?? {};
  }

  logTo(log: Pick<Log, "warn">): void {
    this.#log = log;
  }

  inheritSockets(sockets: NamedSockets): void {
    this.#inherited = sockets;
  }

  /**
   * Returns the relay, and starts it if none runs.
   * @param settings makes those that do not follow from the options.
   */
  async ensure(
    settings: () => Promise<Pick<RelaySettings, "sharedListeners" | "mark">>,
  ): Promise<RelayHandle> {
    return this.#relay ??= await this.#started(await settings());
  }

  async metrics(): Promise<readonly BackendMetric[]> {
    return await this.#reported(relayMetrics) ?? [];
  }

  async state(): Promise<RelayState | undefined> {
    return await this.#reported(relayStateOf);
  }

  async drain(isAwaited: boolean): Promise<Draining> {
    const relay = this.#relay;
    if (relay === undefined) return { ended: Promise.resolve(0) };
    const ended = relay.drain(this.#options.drainMs, isAwaited);
    // The caller waits for it later.
    ended.catch(() => {});
    await relay.offered();
    return { ended };
  }

  [Symbol.dispose](): void {
    this.#relay?.[Symbol.dispose]();
  }

  async #reported<Result>(
    make: (report: RelayReport, totals: Totals) => Result,
  ): Promise<Result | undefined> {
    const report = await this.#relay?.report();
    return report === undefined ? undefined : make(report, this.#totals.add(report));
  }

  async #started(settings: Pick<RelaySettings, "sharedListeners" | "mark">): Promise<RelayHandle> {
    const { udpIdleMs, maxConnections, maxUdpFlows } = this.#options;
    const warn: Warn = (message, values) => this.#log?.warn(message, values);
    const taken = takeListeners(HAND_OVER_NAME, warn);
    const kept = this.#inherited;
    this.#inherited = {};
    // An earlier process that still runs has passed the same sockets on.
    for (const [name, socket] of Object.entries(kept)) if (name in taken) closeSocket(socket);
    const inherited = { ...kept, ...taken };
    return await this.#start(
      {
        ...DEFAULT_RELAY_SETTINGS,
        ...settings,
        udpIdleMs,
        maxConnections,
        maxUdpFlows,
        inherited,
        handOverName: HAND_OVER_NAME,
      },
      {
        warn,
        failed: ({ message }) => {
          this.#relay = undefined;
          this.#failed(message);
        },
      },
    );
  }
}
