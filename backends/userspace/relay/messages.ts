import type { Address } from "../../../core/net/address.ts";
import type { Family, Protocol } from "../../../core/net/protocol.ts";
import type { FrontendKind, PlanKey } from "../../../core/plan/plan.ts";

/**
 * Messages between the main thread (`backends/userspace/relay.ts`) and the relay thread, which accepts the connections
 * and moves their bytes. All of it is plain data, because `postMessage` copies it.
 */

/** Protocols that the relay serves. */
export type RelayedProtocol = Exclude<Protocol, "SCTP">;

/**
 * Origin of a connection: "inside" is this node and its pods, "outside" is everybody else. With externalTrafficPolicy
 * Local they are balanced over different endpoints (docs/behaviour.md §4.3).
 */
export type Side = "inside" | "outside";

/** Endpoints that connections of one side are balanced over. "none": they are reset; the kernel rejects most before. */
export type EndpointList = "cluster" | "local" | "none";

/** A service port as the relay knows it. */
export interface RelayedService {
  readonly key: PlanKey;
  readonly family: Family;
  readonly protocol: RelayedProtocol;
  readonly frontends: readonly RelayedFrontend[];
  /**
   * Packed endpoints (`endpoints/packed_endpoints.ts`), one character per byte: the address, then the port, big-endian;
   * 6 bytes each in IPv4, 18 in IPv6.
   */
  readonly cluster: string;
  readonly local: string;
  /** Endpoints that existing UDP flows may keep, in addition to those above; empty for TCP. Packed. */
  readonly serving: string;
  /** Seconds since the client's last new connection; 0 for no affinity. */
  readonly affinitySeconds: number;
  /** TCP: endpoints get a PROXY protocol version 2 header with the client's address. */
  readonly proxyProtocol: boolean;
}

export interface RelayedFrontend {
  readonly kind: FrontendKind;
  /** Undefined: every address, for a NodePort. */
  readonly address: Address | undefined;
  readonly port: number;
  readonly outside: EndpointList;
  readonly inside: EndpointList;
  /**
   * The relay listens for this frontend itself, without redirection by the kernel. Its clients are "outside". Undefined:
   * connections come to a shared listener.
   */
  readonly listen?: { readonly address: Address; readonly port: number };
}

/** A frontend that is not served, because its socket could not be opened. */
export interface FailedListener {
  readonly key: PlanKey;
  readonly kind: FrontendKind;
  readonly address: Address;
  readonly port: number;
  readonly reason: string;
}

/** Listeners of single frontends that a command has changed. */
export interface ListenerChanges {
  /** Frontends of the services of the command that are not served. */
  readonly failed: readonly FailedListener[];
  /** Sockets by name. */
  readonly opened: Readonly<Record<string, number>>;
  /** Names of sockets. */
  readonly closed: readonly string[];
}

/** A listener for connections that the kernel redirects. The relay asks for the original destination of each. */
export interface SharedListener {
  readonly family: Family;
  readonly protocol: RelayedProtocol;
  readonly side: Side;
  /** In a request: the preferred port, 0 for any; a busy one is replaced. In the answer: the port in use. */
  readonly port: number;
}

/**
 * Means to move the bytes of a TCP connection. "copy": through one buffer of the thread. "splice": transfers that
 * outgrow the buffer go through pipes and are not copied.
 */
export type Mover = "copy" | "splice";

export interface RelaySettings {
  readonly sharedListeners: readonly SharedListener[];
  /** Packet mark (SO_MARK) of connections to endpoints, which takes CAP_NET_ADMIN; 0 for none. */
  readonly mark: number;
  readonly mover: Mover;
  /** Milliseconds after which a UDP flow without datagrams ends. */
  readonly udpIdleMs: number;
  /** TCP connections at a time, in all. Clients above it wait. */
  readonly maxConnections: number;
  /** UDP flows at a time, in all. Above it, the flow that has been idle for the longest time ends. */
  readonly maxUdpFlows: number;
  /**
   * Listening sockets of an earlier process, by their names (`listeners/listener_names.ts`). Used instead of opening
   * others.
   */
  readonly inherited: Readonly<Record<string, number>>;
  /**
   * Name of the abstract Unix socket where the listeners are offered to the next process while this one drains; ""
   * for none.
   */
  readonly handOverName: string;
}

/** Settings whose values rarely matter. */
export const DEFAULT_RELAY_SETTINGS = {
  mark: 0,
  mover: "splice",
  udpIdleMs: 250,
  maxConnections: 100_000,
  maxUdpFlows: 10_000,
  inherited: {},
  handOverName: "",
} as const satisfies Omit<RelaySettings, "sharedListeners">;

/** The thread answers every command but `start` and `drain` with "done" or "report", when the command is in force. */
export type RelayCommand =
  /** Opens the shared listeners. Comes first, once. `wake` is the eventfd that counts the messages. */
  | { readonly type: "start"; readonly wake: number; readonly settings: RelaySettings }
  /** Removes all services but these. */
  | { readonly type: "retain"; readonly id: number; readonly keys: readonly PlanKey[] }
  | {
    readonly type: "update";
    readonly id: number;
    readonly services: readonly RelayedService[];
    readonly removed: readonly PlanKey[];
  }
  | { readonly type: "report"; readonly id: number }
  /**
   * Offers the listeners to the next process, and accepts connections until one takes them or until the time is nearly
   * over; without `handOverName` it stops accepting at once. Then waits until the connections have ended, for at most `limitMs` in all. Those left are reset.
   * `isAwaited`: another process is about to take the listeners, so that they are kept even without connections.
   */
  | { readonly type: "drain"; readonly limitMs: number; readonly isAwaited: boolean };

export type RelayEvent =
  /** `descriptors`: the sockets of the shared listeners, by name. */
  | {
    readonly type: "ready";
    readonly listeners: readonly SharedListener[];
    readonly descriptors: Readonly<Record<string, number>>;
  }
  /** The listeners are offered to the next process. */
  | { readonly type: "offered" }
  /** The relay could not start, or its thread has ended by an error. */
  | { readonly type: "failed"; readonly message: string }
  | { readonly type: "done"; readonly id: number; readonly changes: ListenerChanges }
  | { readonly type: "report"; readonly id: number; readonly report: RelayReport }
  /** `open`: connections that were reset because the time was over. */
  | { readonly type: "drained"; readonly open: number }
  /** For the log; rate-limited by the thread. */
  | {
    readonly type: "warning";
    readonly message: string;
    readonly values: Readonly<Record<string, string | number>>;
  };

/** Counters count from the start of the thread. */
export interface RelayReport {
  /** Service ports that have had connections or datagrams, and are still there. */
  readonly services: readonly ServiceCounters[];
  readonly openConnections: number;
  readonly udpFlows: number;
  /** Endpoints that have failed and are chosen only if all others of their service have failed, too. */
  readonly avoidedEndpoints: readonly AvoidedEndpoint[];
}

export interface ServiceCounters {
  readonly key: PlanKey;
  /** New TCP connections or UDP flows. */
  readonly connections: number;
  /** TCP connections or UDP flows that are open now. */
  readonly open: number;
  /** Attempts to connect to another endpoint, after one had failed. */
  readonly retries: number;
  /** Connections that ended because every attempt failed. */
  readonly failures: number;
  /** Connections that were reset for another reason: no endpoint, limit. */
  readonly refused: number;
  readonly bytesToEndpoints: number;
  readonly bytesToClients: number;
}

export interface AvoidedEndpoint {
  readonly address: Address;
  readonly port: number;
  readonly protocol: RelayedProtocol;
  /** Milliseconds until it is chosen again like the others. */
  readonly remainingMs: number;
}
