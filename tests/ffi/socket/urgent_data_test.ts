import assert from "node:assert/strict";
import { sendBytes, TransferBuffer } from "../../../ffi/socket/stream.ts";
import { isAtUrgentByte, passUrgentByte } from "../../../ffi/socket/urgent_data.ts";
import { calls } from "../../../ffi/socket/calls.ts";
import { MSG_OOB } from "../../../ffi/socket/constants.ts";
import { connected } from "./loopback.ts";

Deno.test("the urgent byte of a stream is passed on once, at its place", { sanitizeResources: false }, () => {
  using from = connected();
  using to = connected();
  const buffer = new TransferBuffer(100);
  assert.equal(isAtUrgentByte(from.server), false);
  assert.equal(passUrgentByte(from.server, to.client), 0);
  sendBytes(from.client, new Uint8Array([1]));
  // The last byte of what is sent so is the urgent one.
  assert.equal(calls.send(from.client, new Uint8Array([2, 3]), 2n, MSG_OOB), 2);
  sendBytes(from.client, new Uint8Array([4]));
  assert.equal(isAtUrgentByte(from.server), false);
  assert.equal(buffer.receive(from.server), 2);
  assert.equal(isAtUrgentByte(from.server), true);
  assert.equal(passUrgentByte(from.server, to.client), 1);
  assert.equal(passUrgentByte(from.server, to.client), 0);
  assert.equal(isAtUrgentByte(to.server), true);
  assert.equal(buffer.receive(from.server), 1);
  assert.deepEqual(buffer.copy(0, 1), new Uint8Array([4]));
  assert.equal(isAtUrgentByte(from.server), false);
});
