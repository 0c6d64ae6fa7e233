import { ApiError, readError } from "./error.ts";
import type { Transport } from "./transport.ts";

/** How long to wait, in milliseconds. */
export interface Patience {
  /** For a connection and the headers of the answer. */
  readonly answer: number;
  /** For the next bytes of the body. */
  readonly silence: number;
}

/** The server, or the way to it, went quiet. */
export class SilenceError extends Error {
  override readonly name = "SilenceError";
}

export interface ResponseListener {
  /** The request was accepted. */
  accepted(): void;
  /** The next bytes of the body; valid during the call. What it throws ends the request. */
  chunk(bytes: Uint8Array): void;
}

/**
 * Requests `path` and hands on the body as it comes; returns at its end.
 * @throws ApiError when the server refuses, SilenceError, Error without connection, the reason of `signal`.
 */
export async function streamResponse(
  transport: Pick<Transport, "get" | "reconnect" | "heard">,
  path: string,
  patience: Patience,
  signal: AbortSignal,
  listener: ResponseListener,
): Promise<void> {
  signal.throwIfAborted();
  const request = new AbortController();
  const stop = () => request.abort(signal.reason);
  signal.addEventListener("abort", stop, { once: true });
  const giveUp = (what: string) => {
    // A half-open connection would swallow the next request too.
    transport.reconnect();
    request.abort(new SilenceError(what));
  };
  const answerTimer = setTimeout(
    () => giveUp(`no answer within ${patience.answer / 1000} s`),
    patience.answer,
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
      if (performance.now() - lastHeard < patience.silence) return;
      giveUp(`nothing heard for ${patience.silence / 1000} s`);
    }, Math.max(10, patience.silence / 8));
    heard();
    if (!response.ok) throw await readError(response);
    if (response.body === null) throw new ApiError(response.status, "", "an answer without body", undefined);
    listener.accepted();
    const reader = response.body.getReader();
    // Aborting the request should end the body. In Deno 2.6 it does not always: it can have forgotten the signal by
    // the time it has collected the garbage of a long list.
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
