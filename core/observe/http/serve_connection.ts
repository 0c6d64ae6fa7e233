import type { Connection } from "./connections.ts";
import { HeadReader, HeadTooLarge } from "./head_reader.ts";
import { type HttpRequest, MAX_READ_BODY_BYTES, parseHead, RequestError } from "./request.ts";
import { encodeResponse, errorResponse } from "./response.ts";

/** Makes the answer to one request. */
export type Answer = (request: HttpRequest, peer: Deno.NetAddr) => Response | Promise<Response>;

/** Bodies of requests are skipped up to this size, which is Go's; a larger one ends the connection. */
const MAX_SKIPPED_BODY_BYTES = 256 * 1024;
/** Bytes that are read from a client that does not stop sending, before its connection is closed. */
const MAX_LINGER_BYTES = 1024 * 1024;

/**
 * Answers the requests of one connection, in their order, until the client or the budget closes it. Bodies of
 * requests are skipped, except small ones of PUT.
 * @param answer must not reject.
 */
export async function serveConnection(connection: Connection, answer: Answer): Promise<void> {
  const { socket } = connection;
  const reader = new HeadReader((buffer) => socket.read(buffer));
  try {
    while (await serveRequest(connection, reader, answer)) {
      if (reader.hasMore) continue;
      connection.enter("idle");
      if (!await reader.more()) return;
    }
  } catch (error) {
    // Everything else is the end of the connection: reset by the client, or closed by the budget.
    if (error instanceof RequestError) await reject(connection, error).catch(() => {});
  } finally {
    connection.end();
  }
}

/** @returns true when the connection can be used for another request. */
async function serveRequest(connection: Connection, reader: HeadReader, answer: Answer): Promise<boolean> {
  const { socket } = connection;
  connection.enter("head");
  const head = await reader.head();
  if (head === undefined) return false;
  const parsed = parseHead(head);
  const readsBody = parsed.method === "PUT" && parsed.bodyBytes <= MAX_READ_BODY_BYTES &&
    !parsed.expectsContinue;
  const body = readsBody ? await reader.body(parsed.bodyBytes) : "";
  if (body === undefined) return false;
  const request = { ...parsed, body };
  const bodyBytes = readsBody ? 0 : parsed.bodyBytes;
  const skipsBody = bodyBytes <= MAX_SKIPPED_BODY_BYTES && !request.expectsContinue;
  const keepsAlive = request.keepsAlive && skipsBody;

  connection.enter("answer");
  const response = request.method === "OPTIONS" && request.escapedPath === "*"
    ? new Response(null)
    : await answer(request, socket.remoteAddr);
  const closes = !keepsAlive || response.headers.get("connection") === "close";
  await connection.write(await encodeResponse(response, request, closes));

  if (closes) {
    if (bodyBytes > 0 || reader.hasMore) await linger(connection);
    return false;
  }
  connection.enter("head");
  return await reader.skip(bodyBytes);
}

async function reject(connection: Connection, error: RequestError): Promise<void> {
  connection.enter("answer");
  await connection.write(errorResponse(error instanceof HeadTooLarge ? reasonOf(error) : error));
  await linger(connection);
}

/** A head that is too large is often not valid either, and Go, which reads more of it, would say so. */
function reasonOf(error: HeadTooLarge): RequestError {
  try {
    parseHead(error.start);
    return error;
  } catch (reason) {
    return reason instanceof RequestError ? reason : error;
  }
}

/**
 * Waits until the client has read the answer and closes. A connection that is closed while the client still
 * sends is reset, and the client may not see the answer.
 */
async function linger(connection: Connection): Promise<void> {
  connection.enter("closing");
  await connection.socket.closeWrite();
  const buffer = new Uint8Array(16 * 1024);
  for (let total = 0; total < MAX_LINGER_BYTES;) {
    const count = await connection.socket.read(buffer);
    if (count === null) return;
    total += count;
  }
}
