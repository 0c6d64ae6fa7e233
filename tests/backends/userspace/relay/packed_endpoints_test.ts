import assert from "node:assert/strict";
import { PACKED_BYTES, packEndpoints } from "../../../../backends/userspace/relay/packed_endpoints.ts";
import { type Address, parseAddress } from "../../../../core/net/address.ts";

function address(text: string): Address {
  const parsed = parseAddress(text);
  assert(parsed !== undefined);
  return parsed;
}

Deno.test("endpoints are packed as address bytes and big-endian port", () => {
  const packed = packEndpoints([
    { address: address("10.1.2.3"), port: 8080 },
    { address: address("10.1.2.255"), port: 65535 },
  ]);
  assert.deepEqual([...packed], [10, 1, 2, 3, 0x1f, 0x90, 10, 1, 2, 255, 0xff, 0xff]);
  assert.equal(packed.length, 2 * PACKED_BYTES.IPv4);
  assert.equal(packEndpoints([{ address: address("fd00::1"), port: 80 }]).length, PACKED_BYTES.IPv6);
});
