import assert from "node:assert/strict";
import { Connection, newAttempt } from "../../../../../backends/userspace/relay/tcp/connection.ts";
import { DelayedResets } from "../../../../../backends/userspace/relay/tcp/delayed_resets.ts";
import { EPOLLERR } from "../../../../../ffi/socket/constants.ts";
import { unacknowledgedBytes } from "../../../../../ffi/socket/options.ts";
import { sendBytes, TransferBuffer } from "../../../../../ffi/socket/stream.ts";
import { type Connected, connected } from "../../../../ffi/socket/loopback.ts";
import { service } from "../support/services.ts";

const keepsLibraries = { sanitizeResources: false };

/** Connections whose endpoint has failed, and a time that passes only when a test says so. */
class Scene implements Disposable {
  now = 1000;
  /** Time that each reset takes. */
  resetMs = 0;
  /** The bytes that were not acknowledged at each reset. */
  readonly resets: number[] = [];
  readonly delayed = new DelayedResets((connection) => this.#reset(connection), () => this.now);
  readonly #pairs: Connected[] = [];

  /** The endpoint fails after it has sent so many bytes, which the client has not read. */
  fail(bytes: number): Connected {
    const pair = connected();
    this.#pairs.push(pair);
    sendBytes(pair.server, new Uint8Array(bytes));
    const connection = new Connection(
      {
        watchClient: () => true,
        watchWritable: () => {},
        pump: () => "source failed",
        abandon: () => {},
        continueLater: () => {},
        hasAnswer: () => false,
        connected: () => {},
        attemptFailed: () => assert.fail(),
        finished: () => assert.fail(),
        resetLater: (connection, hasMoved) => this.delayed.request(connection, hasMoved, this.now),
        failed: () => assert.fail(),
      },
      service(),
      pair.server,
      newAttempt({ list: "cluster", client: "", header: undefined }),
    );
    connection.attempt = undefined;
    connection.toClient.target = pair.server;
    connection.handleEvents(-1, EPOLLERR);
    return pair;
  }

  /** Lets time pass, with all deadlines in it. */
  pass(milliseconds: number): void {
    const end = this.now + milliseconds;
    while (this.delayed.nextDeadline <= end) {
      this.now = this.delayed.nextDeadline;
      this.delayed.expire(this.now);
    }
    this.now = end;
  }

  [Symbol.dispose](): void {
    for (const pair of this.#pairs) pair[Symbol.dispose]();
  }

  #reset(connection: Connection): void {
    // A reset ends the connection, which removes it from its list.
    const { previous, next } = connection;
    if (previous !== undefined && next !== undefined) [previous.next, next.previous] = [next, previous];
    this.resets.push(unacknowledgedBytes(connection.survivor));
    this.now += this.resetMs;
  }
}

/** More than the buffers of both sockets. */
const MANY = 20_000_000;

Deno.test("a side that has everything is reset at once", keepsLibraries, () => {
  using scene = new Scene();
  scene.fail(0);
  assert.equal(scene.resets.length, 1);
  assert.equal(scene.delayed.nextDeadline, Infinity);
});

Deno.test("a side that goes on reading is reset when it has everything", keepsLibraries, async () => {
  using scene = new Scene();
  const { client, server } = scene.fail(MANY);
  const buffer = new TransferBuffer(1_000_000);
  let steps = 0;
  for (let left = unacknowledgedBytes(server); left > 0; left = unacknowledgedBytes(server)) {
    while (unacknowledgedBytes(server) === left) {
      buffer.receive(client);
      await new Promise((resolve) => setTimeout(resolve, 0));
    }
    scene.pass(4000);
    steps++;
  }
  assert(steps >= 2, `${steps} steps`);
  assert.deepEqual(scene.resets, [0]);
  assert.equal(scene.delayed.nextDeadline, Infinity);
});

Deno.test("a side that takes nothing for 5 s is reset", keepsLibraries, () => {
  using scene = new Scene();
  scene.fail(MANY);
  scene.pass(4900);
  assert.equal(scene.resets.length, 0);
  scene.pass(200);
  assert.equal(scene.resets.length, 1);
  assert((scene.resets[0] ?? 0) > 0);
});

Deno.test("looking after many connections takes at most a tenth of the time", keepsLibraries, () => {
  using scene = new Scene();
  scene.fail(MANY);
  scene.pass(1000);
  scene.fail(MANY);
  scene.resetMs = 100;
  scene.pass(4000);
  assert.equal(scene.resets.length, 1);
  assert(scene.delayed.nextDeadline - scene.now > 800, `${scene.delayed.nextDeadline - scene.now} ms`);
});
