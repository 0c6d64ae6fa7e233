import assert from "node:assert/strict";
import {
  endpointAt,
  offsetOf,
  PACKED_BYTES,
  unpackEndpoint,
} from "../../../../../backends/userspace/relay/endpoints/packed_endpoints.ts";
import { address, packed } from "../support/services.ts";

Deno.test("endpoints are packed as address bytes and big-endian port", () => {
  const list = packed("10.1.2.3:8080", "10.1.2.255:65535");
  assert.deepEqual(Array.from(list, (byte) => byte.charCodeAt(0)), [
    10,
    1,
    2,
    3,
    0x1f,
    0x90,
    10,
    1,
    2,
    255,
    0xff,
    0xff,
  ]);
  assert.equal(list.length, 2 * PACKED_BYTES.IPv4);
  assert.equal(packed("fd00::1:80").length, PACKED_BYTES.IPv6);
});

Deno.test("an endpoint is found by its packed form", () => {
  const list = packed("10.1.2.3:8080", "10.1.2.4:8080", "10.1.2.4:8081");
  const second = endpointAt(list, 6, PACKED_BYTES.IPv4);
  assert.deepEqual(unpackEndpoint(second), { address: address("10.1.2.4"), port: 8080 });
  assert.equal(offsetOf(list, second), 6);
  assert.equal(offsetOf(packed("10.1.2.3:8080", "10.1.2.4:80"), second), -1);
  assert.equal(offsetOf("", second), -1);
});
