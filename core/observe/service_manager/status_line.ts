import type { IntakeObserver } from "../../sync/intake.ts";
import type { SyncObserver } from "../../sync/sync_loop.ts";

export interface StatusLineOptions {
  readonly mode: string;
  /** Origin of the objects: "API server". */
  readonly source: string;
  /** Returns the number of service ports in force. */
  readonly servicePorts: () => number;
  /** Returns true while the kernel rejects a service port. */
  readonly isRejecting: () => boolean;
  /** Called after each event that may have changed the text. */
  readonly changed: () => void;
}

/** Describes what the process does, in one line, as `systemctl status` shows it. */
export class StatusLine
  implements Pick<SyncObserver, "started" | "settled" | "ended">, Pick<IntakeObserver, "connected"> {
  readonly #options: StatusLineOptions;
  #state: "listing" | "syncing" | "in force" = "listing";
  #isConnected = true;
  #hasSettled = true;
  #isFailing = false;

  constructor(options: StatusLineOptions) {
    this.#options = options;
  }

  get text(): string {
    const { mode, source, isRejecting } = this.#options;
    const problems = [
      ...(this.#isConnected ? [] : [`the ${source} is unreachable`]),
      ...(this.#isFailing ? ["the last sync failed"] : []),
      ...(isRejecting() ? ["the kernel rejects a service port"] : []),
    ];
    return [`Mode ${mode}: ${this.#achievement}`, ...problems].join("; ");
  }

  get #achievement(): string {
    const { source, servicePorts } = this.#options;
    if (this.#state === "listing") return `waiting for the first list from the ${source}`;
    if (this.#state === "syncing") return "the first sync is not in force yet";
    const count = servicePorts();
    return `${count} service port${count === 1 ? "" : "s"} in force`;
  }

  connected(connected: boolean): void {
    this.#isConnected = connected;
    this.#options.changed();
  }

  started(): void {
    this.#hasSettled = false;
    if (this.#state === "listing") this.#state = "syncing";
  }

  settled(): void {
    this.#hasSettled = true;
    this.#state = "in force";
  }

  ended(): void {
    this.#isFailing = !this.#hasSettled;
    this.#options.changed();
  }
}
