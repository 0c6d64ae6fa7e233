import type { PlanKey } from "../../../core/plan/plan.ts";
import type { RelayHandle, RelayObserver, StartRelay } from "../../../backends/userspace/relay_handle.ts";
import type {
  FailedListener,
  RelayedService,
  RelayReport,
  RelaySettings,
  SharedListener,
} from "../../../backends/userspace/relay/messages.ts";

/** Options of the mode with small limits. */
export const userspaceOptions = {
  udpIdleMs: 300,
  maxConnections: 1000,
  maxUdpFlows: 100,
  drainMs: 1000,
  hasRules: true,
  loopback: undefined,
  hostsFile: undefined,
};

/** A relay that accepts nothing, and notes what it is told. */
export class FakeRelay implements RelayHandle {
  readonly services = new Map<PlanKey, RelayedService>();
  /** Calls in their order: "replace 2", "update default/web:http/TCP/IPv4", "remove …". */
  readonly calls: string[] = [];
  isDisposed = false;
  /** The frontends that cannot be listened for. */
  failed: (services: readonly RelayedService[]) => readonly FailedListener[] = () => [];
  current: RelayReport = { services: [], openConnections: 0, udpFlows: 0, avoidedEndpoints: [] };

  private constructor(
    readonly settings: RelaySettings,
    readonly observer: RelayObserver,
    readonly listeners: readonly SharedListener[],
    note: (call: string) => void,
  ) {
    this.#note = note;
  }

  readonly #note: (call: string) => void;

  /**
   * @param started receives each relay.
   * @param note receives the calls of all of them.
   * @param portOf the port that is in use instead of a preferred one.
   */
  static starter(
    started: FakeRelay[],
    note: (call: string) => void = () => {},
    portOf: (preferred: SharedListener) => number = ({ port }) => port,
  ): StartRelay {
    return (settings, observer) => {
      const listeners = settings.sharedListeners.map((one) => ({ ...one, port: portOf(one) }));
      const relay = new FakeRelay(settings, observer, listeners, note);
      started.push(relay);
      return Promise.resolve(relay);
    };
  }

  replace(services: Iterable<RelayedService>): Promise<readonly FailedListener[]> {
    const all = [...services];
    this.#called(`replace ${all.length}`);
    this.services.clear();
    return this.update(all, []);
  }

  update(
    services: readonly RelayedService[],
    removed: readonly PlanKey[],
  ): Promise<readonly FailedListener[]> {
    for (const service of services) {
      this.services.set(service.key, service);
      this.#called(`know ${service.key}`);
    }
    for (const key of removed) {
      this.services.delete(key);
      this.#called(`forget ${key}`);
    }
    return Promise.resolve(this.failed(services));
  }

  report(): Promise<RelayReport> {
    return Promise.resolve(this.current);
  }

  get descriptors(): Readonly<Record<string, number>> {
    return {};
  }

  drain(limitMs: number, isAwaited: boolean): Promise<number> {
    this.#called(`drain ${limitMs} ${isAwaited}`);
    return Promise.resolve(0);
  }

  offered(): Promise<void> {
    return Promise.resolve();
  }

  [Symbol.dispose](): void {
    this.isDisposed = true;
  }

  #called(call: string): void {
    this.calls.push(call);
    this.#note(call);
  }
}
