import { Attempt, DeadlineError } from "../../async/attempt.ts";
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
export class SilenceError extends DeadlineError {
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
 * @throws ApiError when the server rejects the request, SilenceError on a timeout, Error when there is no connection or
 * the response is not JSON, and the reason of `signal` when it aborts.
 */
export async function streamResponse(
  transport: Pick<Transport, "get" | "reconnect" | "heard" | "answerRead">,
  path: string,
  timeouts: RequestTimeouts,
  signal: AbortSignal,
  listener: ResponseListener,
): Promise<void> {
  signal.throwIfAborted();
  using attempt = new Attempt(signal);
  const silence = (problem: string) => () => {
    // The next request would fail too on a half-open connection.
    transport.reconnect();
    return new SilenceError(problem);
  };
  const awaitData = () =>
    attempt.within(timeouts.silenceMs, silence(`no data for ${timeouts.silenceMs / 1000} s`));
  // The credentials have deadlines of their own. The server's begins when it is asked.
  const sending = () =>
    attempt.within(timeouts.answerMs, silence(`no response within ${timeouts.answerMs / 1000} s`));
  const response = await attempt.wait(transport.get(path, attempt.signal, sending));
  transport.heard();
  awaitData();
  if (!response.ok) throw await attempt.wait(readError(response));
  if (response.body === null) throw new ApiError(response.status, "", "a response without body", undefined);
  const reader = response.body.getReader();
  // Aborting the request should end the body, but Deno 2.6 can lose the signal when it collects the garbage of a
  // long list.
  attempt.signal.addEventListener("abort", () => reader.cancel().catch(() => {}), { once: true });
  checkContentType(response);
  listener.accepted();
  let bytes = 0;
  for (let next = await reader.read(); !next.done; next = await reader.read()) {
    transport.heard();
    bytes += next.value.length;
    listener.chunk(next.value);
    // After the listener, because the end of a list in this chunk changes the timeout.
    awaitData();
  }
  attempt.signal.throwIfAborted();
  if (!isWatch(path)) transport.answerRead("GET", bytes);
}

function isWatch(path: string): boolean {
  return /[?&]watch=true(&|$)/.test(path);
}

/** An API server sends JSON because the request accepts nothing else; a proxy or load balancer may send a web page. */
function checkContentType(response: Response): void {
  const type = response.headers.get("content-type") ?? "";
  if (type === "" || /json/i.test(type)) return;
  throw new Error(
    `${response.status} with content type ${JSON.stringify(type)} instead of JSON; ` +
      "the response does not come from an API server",
  );
}
