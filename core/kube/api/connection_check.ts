import { delay } from "../../async/wakeup.ts";
import type { ApiTiming } from "./timing.ts";
import { SilenceError, streamResponse } from "./response_stream.ts";
import type { Transport } from "./transport.ts";

export interface ConnectionCheckOptions {
  readonly transport: Transport;
  readonly timing: Pick<ApiTiming, "quietConnection" | "checkAnswer">;
  /** The connection leads nowhere: the next request gets a new one. */
  lost(): void;
}

/**
 * A connection whose way was lost (a route, a firewall's or a load balancer's memory of it) stays open and silent, and
 * so is a watch while nothing changes: after some silence a small request over the same connection tells the two apart.
 * Upstream does it by HTTP/2 pings, which Deno's fetch does not have. Runs until the signal aborts.
 */
export async function checkConnection(
  { transport, timing, lost }: ConnectionCheckOptions,
  signal: AbortSignal,
): Promise<void> {
  let asked = performance.now();
  while (!signal.aborted) {
    const quietSince = Math.max(asked, transport.lastHeard);
    const left = quietSince + timing.quietConnection - performance.now();
    if (left > 0) {
      await delay(left, signal);
      continue;
    }
    asked = performance.now();
    const patience = { answer: timing.checkAnswer, silence: timing.checkAnswer };
    try {
      await streamResponse(transport, "/version", patience, signal, { accepted() {}, chunk() {} });
    } catch (error) {
      // A refusal is an answer too, and a server that cannot be reached is the watches' to report.
      if (error instanceof SilenceError) lost();
    }
  }
}
