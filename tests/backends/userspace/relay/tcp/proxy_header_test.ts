import assert from "node:assert/strict";
import { proxyHeader } from "../../../../../backends/userspace/relay/tcp/proxy_header.ts";
import { address } from "../support/services.ts";

/** Bytes from the sections 2.1 and 2.2 of the PROXY protocol's specification. */
const SIGNATURE = "0d0a0d0a000d0a515549540a";

Deno.test("the PROXY header has the client, and the address that it connected to", () => {
  const header = proxyHeader("IPv4", {
    client: address("192.0.2.1"),
    clientPort: 50_000,
    destination: address("10.96.0.10"),
    destinationPort: 80,
  });
  assert.equal(header.toHex(), `${SIGNATURE}2111000c${"c0000201"}${"0a60000a"}${"c350"}${"0050"}`);
});

Deno.test("the PROXY header of IPv6 has addresses of 16 bytes", () => {
  const header = proxyHeader("IPv6", {
    client: address("fd00::1"),
    clientPort: 1,
    destination: address("fd00::2"),
    destinationPort: 65535,
  });
  const zeros = "0".repeat(26);
  assert.equal(header.toHex(), `${SIGNATURE}21210024fd00${zeros}01fd00${zeros}020001ffff`);
});
