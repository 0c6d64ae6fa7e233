import type { ObjectKind } from "../objects/objects.ts";
import type { StoreChange } from "../objects/store.ts";

/** Counts changes of services and their endpoints from when they are seen until they are in force. */
export class WaitingChanges {
  services = 0;
  endpoints = 0;
  /** Of them, those in the batch that is in flight. */
  #taken = { services: 0, endpoints: 0 };

  /** What changes nothing is not waited for. */
  add(kind: ObjectKind, change: StoreChange): void {
    if (change.services.length === 0) return;
    if (kind === "Service") this.services++;
    if (kind === "EndpointSlice") this.endpoints++;
  }

  /** All that wait are in the next batch, those of a batch that failed as well. */
  take(): void {
    this.#taken = { services: this.services, endpoints: this.endpoints };
  }

  done(): void {
    this.services -= this.#taken.services;
    this.endpoints -= this.#taken.endpoints;
    this.#taken = { services: 0, endpoints: 0 };
  }
}
