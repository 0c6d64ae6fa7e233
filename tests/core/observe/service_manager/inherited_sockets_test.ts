import assert from "node:assert/strict";
import { inheritedSockets } from "../../../../core/observe/service_manager/inherited_sockets.ts";
import { libc } from "../../../../ffi/libraries/libc.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();

const PID = 4711;
const given = (values: Readonly<Record<string, string>>) => new Map(Object.entries(values));

Deno.test("sockets of the service manager have the names that they were stored with", () => {
  const environment = given({
    LISTEN_PID: `${PID}`,
    LISTEN_FDS: "2",
    LISTEN_FDNAMES: "TCP-IPv4-inside:TCP-IPv6-inside",
    HOME: "/",
  });
  assert.deepEqual(inheritedSockets(environment, PID), { "TCP-IPv4-inside": 3, "TCP-IPv6-inside": 4 });
  assert.deepEqual([...environment.keys()], ["HOME"]);
});

Deno.test("sockets for another process are not touched", () => {
  const environment = given({ LISTEN_PID: "1", LISTEN_FDS: "1", LISTEN_FDNAMES: "other" });
  assert.deepEqual(inheritedSockets(environment, PID), {});
  assert.deepEqual([...environment.keys()], []);
});

Deno.test("without a service manager there are no sockets", () => {
  assert.deepEqual(inheritedSockets(given({}), PID), {});
});
