import type { Address } from "../net/address.ts";
import type { Family } from "../net/protocol.ts";
import type { Log } from "../observe/log.ts";
import type { InForce } from "./contract.ts";

/** Follows what is in force, beside the backend and in every mode. */
export interface Follower {
  /** Called after each sync that succeeded. Returns at once. */
  synced(inForce: InForce): void;
}

/** Observes each pass over the conntrack entries of a family, for metrics. */
export interface ConntrackObserver {
  conntrackReconciled(
    pass: { readonly family: Family; readonly seconds: number; readonly deleted: number },
  ): void;
  /** The table could not be read, or not every stale entry could be removed. */
  conntrackFailed(family: Family): void;
}

/** Options of the follower that serves node ports on loopback addresses. */
export interface LocalhostOptions {
  /** Families whose loopback address has node ports. */
  readonly families: readonly Family[];
  readonly log: Log;
  /** Time until a port that could not be opened is tried again. */
  readonly retryMs?: number;
}

/** A socket of this process that rules lead connections to, for it to connect them to endpoints. */
export interface RelaySocket {
  readonly address: Address;
  readonly port: number;
}

/** The connections of a relay at one moment. Counters count from its start. */
export interface RelayState {
  readonly openConnections: number;
  readonly udpFlows: number;
  /** Attempts to connect to another endpoint after one had failed. */
  readonly retries: number;
  /** Connections that failed because no endpoint answered. */
  readonly failures: number;
  /** Endpoints that get no connections for a while because they have failed. */
  readonly avoidedEndpoints: number;
}

/** Options that the program gives a follower. */
export interface FollowerOptions {
  readonly log: Log;
  readonly observer: ConntrackObserver;
  /** Reads all addresses of this node's interfaces. */
  readonly nodeAddresses: () => readonly Address[];
  /** Sockets that rules lead to instead of endpoints; none in most modes. */
  readonly relaySockets: () => readonly RelaySocket[];
}
