import { deepEqual, rejects } from "node:assert/strict";
import { ApiError } from "../../../../core/kube/api/error.ts";
import { SilenceError, streamResponse } from "../../../../core/kube/api/response_stream.ts";

const timeouts = { answerMs: 50, silenceMs: 50 };
const unaborted = new AbortController().signal;

/** Answers one request and counts the calls. */
function answering(get: (signal: AbortSignal) => Promise<Response>) {
  const seen: string[] = [];
  return {
    seen,
    get: (_path: string, signal: AbortSignal, sending = () => {}) => {
      sending();
      return get(signal);
    },
    heard() {},
    answerRead: (method: string, bytes: number) => void seen.push(`${method} ${bytes} bytes`),
    reconnect: () => void seen.push("reconnect"),
    accepted: () => void seen.push("accepted"),
    chunk: (bytes: Uint8Array) => void seen.push(new TextDecoder().decode(bytes)),
  };
}

/** A body that begins with `text` and then stays silent, even when the request is aborted. */
function unending(text: string, seen: string[] = []): ReadableStream<Uint8Array> {
  return new ReadableStream({
    start: (controller) => controller.enqueue(new TextEncoder().encode(text)),
    cancel: () => void seen.push("cancelled"),
  });
}

function inJson(body: BodyInit): Response {
  return new Response(body, { headers: { "content-type": "application/json" } });
}

Deno.test("the body is passed on as it arrives", async () => {
  const server = answering(() => Promise.resolve(inJson("hello")));
  await streamResponse(server, "/x", timeouts, unaborted, server);
  deepEqual(server.seen, ["accepted", "hello", "GET 5 bytes"]);
});

Deno.test("the size of a watch is not reported, however much it sent", async () => {
  const server = answering(() => Promise.resolve(inJson("hello")));
  await streamResponse(server, "/x?allowWatchBookmarks=true&watch=true", timeouts, unaborted, server);
  await streamResponse(server, "/x?watch=true&resourceVersion=7", timeouts, unaborted, server);
  deepEqual(server.seen, ["accepted", "hello", "accepted", "hello"]);
});

Deno.test("aborting ends a body that does not end by itself", async () => {
  const stop = new AbortController();
  const server = answering(() => Promise.resolve(inJson(unending("hello", server.seen))));
  const streaming = streamResponse(server, "/x", { answerMs: 50, silenceMs: 10_000 }, stop.signal, server);
  setTimeout(() => stop.abort(new Error("enough")), 10);
  await rejects(streaming, /enough/);
  deepEqual(server.seen, ["accepted", "hello", "cancelled"]);
});

Deno.test("silence ends the request, and the next one gets a new connection", async () => {
  const server = answering(() => Promise.resolve(inJson(unending("hello", server.seen))));
  await rejects(streamResponse(server, "/x", timeouts, unaborted, server), SilenceError);
  deepEqual(server.seen, ["accepted", "hello", "reconnect", "cancelled"]);
});

Deno.test("no answer ends the request, and the next one gets a new connection", async () => {
  const never = (signal: AbortSignal) =>
    new Promise<Response>((_, reject) => signal.addEventListener("abort", () => reject(signal.reason)));
  const server = answering(never);
  await rejects(streamResponse(server, "/x", timeouts, unaborted, server), /no response within 0.05 s/);
  deepEqual(server.seen, ["reconnect"]);
});

Deno.test("a web page instead of JSON is an error, and nothing of it is passed on", async () => {
  const page = () => new Response("<html>", { headers: { "content-type": "text/html; charset=utf-8" } });
  const server = answering(() => Promise.resolve(page()));
  await rejects(
    streamResponse(server, "/x", timeouts, unaborted, server),
    /200 with content type "text\/html; charset=utf-8" instead of JSON; .*not come from an API server/,
  );
  deepEqual(server.seen, []);
});

Deno.test("an exception of the listener ends the request", async () => {
  const server = answering(() => Promise.resolve(inJson(unending("hello", server.seen))));
  const chunk = () => {
    throw new Error("enough");
  };
  await rejects(streamResponse(server, "/x", timeouts, unaborted, { ...server, chunk }), /enough/);
  deepEqual(server.seen, ["accepted", "cancelled"]);
});

Deno.test("an error response is read as a Status, or as plain text", async () => {
  const refusals: [body: string, headers: Record<string, string>, expected: Partial<ApiError>][] = [
    [
      JSON.stringify({ kind: "Status", reason: "Expired", message: "too old", code: 410 }),
      {},
      { reason: "Expired", message: "410: too old", isExpired: true },
    ],
    ["<html>\n  busy\n</html>", { "retry-after": "7" }, {
      message: "410: <html> busy </html>",
      retryAfterMs: 7000,
    }],
    ["x".repeat(1_000_000), { "retry-after": "1e9" }, {
      message: `410: ${"x".repeat(200)}`,
      retryAfterMs: 300_000,
    }],
  ];
  for (const [body, headers, expected] of refusals) {
    const server = answering(() => Promise.resolve(new Response(body, { status: 410, headers })));
    await rejects(streamResponse(server, "/x", timeouts, unaborted, server), (error) => {
      for (const [key, value] of Object.entries(expected)) {
        deepEqual(error instanceof ApiError && Reflect.get(error, key), value, key);
      }
      return true;
    });
    deepEqual(server.seen, []);
  }
});
