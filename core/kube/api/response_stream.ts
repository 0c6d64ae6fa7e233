import { ApiError, readError } from "./error.ts";
import type { Transport } from "./transport.ts";

/** Timeouts of a request, in milliseconds. */
export interface RequestTimeouts {
  /** For the connection and the response headers. */
  readonly answerMs: number;
  /** For the next bytes of the body. */
  readonly silenceMs: number;
}

/** A timeout: the server, or the path to it, is silent. */
export class SilenceError extends Error {
  override readonly name = "SilenceError";
}

export interface ResponseListener {
  /** Called when the server accepted the request. */
  accepted(): void;
  /** Called with the next bytes of the body, which are valid during the call. An exception ends the request. */
  chunk(bytes: Uint8Array): void;
}

/**
 * Requests `path` and passes the body on as it arrives; returns at its end.
 * @throws ApiError when the server rejects the request, SilenceError on a timeout, Error when there is no connection, and
 * the reason of `signal` when it aborts.
 */
export async function streamResponse(
  transport: Pick<Transport, "get" | "reconnect" | "heard">,
  path: string,
  timeouts: RequestTimeouts,
  signal: AbortSignal,
  listener: ResponseListener,
): Promise<void> {
  signal.throwIfAborted();
  const request = new AbortController();
  const stop = () => request.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const giveUp = (problem: string) => {
    // The next request would fail too on a half-open connection.
    transport.reconnect();
    request.abort(new SilenceError(problem));
  };
  const answerTimer = setTimeout(
    () => giveUp(`no response within ${timeouts.answerMs / 1000} s`),
    timeouts.answerMs,
  );
  let lastHeard = performance.now();
  const heard = () => {
    lastHeard = performance.now();
    transport.heard();
  };
  let silenceTimer: number | undefined;
  try {
    const response = await transport.get(path, request.signal);
    clearTimeout(answerTimer);
    silenceTimer = setInterval(() => {
      if (performance.now() - lastHeard < timeouts.silenceMs) return;
      giveUp(`no data for ${timeouts.silenceMs / 1000} s`);
    }, Math.max(10, timeouts.silenceMs / 8));
    heard();
    if (!response.ok) throw await readError(response);
    if (response.body === null) throw new ApiError(response.status, "", "a response without body", undefined);
    listener.accepted();
    const reader = response.body.getReader();
    // Aborting the request should end the body, but Deno 2.6 can lose the signal when it collects the garbage of a
    // long list.
    request.signal.addEventListener("abort", () => reader.cancel().catch(() => {}), { once: true });
    for (let next = await reader.read(); !next.done; next = await reader.read()) {
      heard();
      listener.chunk(next.value);
    }
    request.signal.throwIfAborted();
  } catch (error) {
    request.signal.throwIfAborted();
    throw error;
  } finally {
    clearTimeout(answerTimer);
    clearInterval(silenceTimer);
    signal.removeEventListener("abort", stop);
    request.abort();
  }
}
