import { delay } from "../../async/wakeup.ts";
import type { ApiTiming } from "./timing.ts";
import { SilenceError, streamResponse } from "./response_stream.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionCheckOptions {
  readonly transport: Transport;
  readonly timing: Pick<ApiTiming, "quietConnectionMs" | "checkAnswerMs">;
  /** Called when the connection is dead. The next request opens a new one. */
  lost(): void;
}

/**
 * Probes a silent connection until the signal aborts. A connection whose path is broken (a route, a firewall's or load
 * balancer's state) stays open and silent, as does a healthy watch while nothing changes. A small request over the same
 * connection tells the two apart. kube-proxy uses HTTP/2 pings, which Deno's fetch does not have.
 */
export async function checkConnection(
  { transport, timing, lost }: ConnectionCheckOptions,
  signal: AbortSignal,
): Promise<void> {
  let lastProbe = performance.now();
  while (!signal.aborted) {
    const quietSince = Math.max(lastProbe, transport.lastHeard);
    const left = quietSince + timing.quietConnectionMs - performance.now();
    if (left > 0) {
      await delay(left, signal);
      continue;
    }
    lastProbe = performance.now();
    const timeouts = { answerMs: timing.checkAnswerMs, silenceMs: timing.checkAnswerMs };
    try {
      await streamResponse(transport, "/version", timeouts, signal, { accepted() {}, chunk() {} });
    } catch (error) {
      // An error response proves that the connection works. The watches report a server that cannot be reached.
      if (error instanceof SilenceError) lost();
    }
  }
}
