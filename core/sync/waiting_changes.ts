import type { ObjectKind } from "../objects/objects.ts";
import type { StoreChange } from "../objects/store.ts";

/** Counts changes of Services and EndpointSlices from when they are received until they are in force. */
export class WaitingChanges {
  services = 0;
  endpoints = 0;
  /** Changes that are part of the batch in flight. */
  #taken = { services: 0, endpoints: 0 };

  /** Counts a change, unless it leaves every service as it was. */
  add(kind: ObjectKind, change: StoreChange): void {
    if (change.services.length === 0) return;
    if (kind === "Service") this.services++;
    if (kind === "EndpointSlice") this.endpoints++;
  }

  /** Assigns all waiting changes to the next batch, including those of a batch that failed. */
  take(): void {
    this.#taken = { services: this.services, endpoints: this.endpoints };
  }

  /** The changes that were taken are in force. */
  complete(): void {
    this.services -= this.#taken.services;
    this.endpoints -= this.#taken.endpoints;
    this.#taken = { services: 0, endpoints: 0 };
  }
}
