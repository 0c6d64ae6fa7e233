/** Traffic of one client to one address. */
export interface Flow {
  /** Name for reports, unique per client. */
  readonly name: string;
  /**
   * short: a new connection every `everyMs`, with one request.
   * held: one connection, with a request every `everyMs`.
   * udp: a datagram every `everyMs` from one source port.
   */
  readonly kind: "short" | "held" | "udp";
  readonly host: string;
  readonly port: number;
  readonly everyMs: number;
  /** Source port of UDP; chosen by the kernel if omitted. */
  readonly fromPort?: number;
}

export interface FlowReport {
  readonly name: string;
  readonly kind: Flow["kind"];
  /** Connections, or datagrams of UDP. */
  readonly attempts: number;
  /** Longest time without an answer. */
  readonly longestGapMs: number;
  /** Longest time from the start of a connection, or from a request or datagram, to its answer. */
  readonly slowestMs: number;
  /** Number of answers by pod. */
  readonly answeredBy: Readonly<Record<string, number>>;
}

/** New connections, 30 per second. */
export function short(name: string, host: string, port: number): Flow {
  return { name, kind: "short", host, port, everyMs: 33 };
}

/** A connection that stays open, with a request every 100 ms. */
export function held(name: string, host: string, port: number): Flow {
  return { name, kind: "held", host, port, everyMs: 100 };
}

/** Datagrams from a fixed source port, every 100 ms. */
export function udp(name: string, host: string, port: number, fromPort: number): Flow {
  return { name, kind: "udp", host, port, fromPort, everyMs: 100 };
}
