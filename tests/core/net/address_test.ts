import assert from "node:assert/strict";
import { isIPv4, isIPv6 } from "node:net";
import fc from "fast-check";
import ipaddr from "ipaddr.js";
import {
  addressFromBytes,
  cidrOf,
  compareAddresses,
  contains,
  covers,
  familyOf,
  formatAddress,
  formatCidr,
  formatSocketAddress,
  isBroadcast,
  isLoopback,
  isMulticast,
  isUnspecified,
  normaliseCidrs,
  parseAddress,
  parseCidr,
} from "../../../core/net/address.ts";
import { address, cidr } from "../plan/builders.ts";

const bytesOf = (length: number) => fc.uint8Array({ minLength: length, maxLength: length });
const anyBytes = fc.oneof(
  bytesOf(4),
  bytesOf(16),
  // Runs of zeros are the difficult part of IPv6 text.
  fc.array(fc.constantFrom(0, 0, 0, 1, 0xff), { minLength: 16, maxLength: 16 }).map((b) =>
    Uint8Array.from(b)
  ),
);
const anyCidr = fc.tuple(anyBytes, fc.nat(128)).map(([bytes, prefix]) =>
  cidrOf(addressFromBytes(bytes), prefix % (bytes.length * 8 + 1))
);

function isMapped(bytes: Uint8Array): boolean {
  return bytes.length === 16 && bytes.subarray(0, 10).every((b) => b === 0) && bytes[10] === 0xff &&
    bytes[11] === 0xff;
}

Deno.test("the text of any address is canonical and parses to the same address", () => {
  fc.assert(
    fc.property(anyBytes.filter((bytes) => !isMapped(bytes)), (bytes) => {
      const text = formatAddress(addressFromBytes(bytes));
      const oracle = ipaddr.fromByteArray([...bytes]);
      assert.equal(text, oracle instanceof ipaddr.IPv6 ? oracle.toRFC5952String() : oracle.toString());
      assert.equal(parseAddress(text), addressFromBytes(bytes));
    }),
    { numRuns: 2000 },
  );
});

Deno.test("every notation of an IPv6 address parses to the same address", () => {
  fc.assert(fc.property(bytesOf(16).filter((bytes) => !isMapped(bytes)), (bytes) => {
    const expected = addressFromBytes(bytes);
    const oracle = ipaddr.fromByteArray([...bytes]);
    assert.ok(oracle instanceof ipaddr.IPv6);
    const groups = oracle.parts.map((part) => part.toString(16).padStart(4, "0"));
    const dotted = [...groups.slice(0, 6), [...bytes.subarray(12)].join(".")].join(":");
    for (const text of [groups.join(":"), oracle.toNormalizedString().toUpperCase(), dotted]) {
      assert.equal(parseAddress(text), expected, text);
    }
  }));
});

Deno.test("text is an address exactly if the platform accepts it, except for leading zeros of IPv4", () => {
  const piece = fc.constantFrom(
    "0",
    "1",
    "9",
    "12",
    "255",
    "256",
    "f",
    "aB",
    "12345",
    ":",
    "::",
    ".",
    "1.2.3.4",
    "g",
    " ",
  );
  fc.assert(
    fc.property(fc.array(piece, { maxLength: 18 }).map((pieces) => pieces.join("")), (text) => {
      const stripped = text.replaceAll(/(?<![0-9a-fA-F:])0+(?=[0-9])/g, "");
      const isAddress = isIPv4(stripped) || isIPv6(text);
      if (text.includes(":") && text.includes(".") && !isAddress) return;
      assert.equal(parseAddress(text) !== undefined, isAddress, text);
    }),
    { numRuns: 20000 },
  );
});

Deno.test("addresses are parsed as Kubernetes parses them", () => {
  for (
    const [text, canonical] of [
      ["010.001.000.009", "10.1.0.9"],
      ["0000000010.0.0.1", "10.0.0.1"],
      ["255.255.255.255", "255.255.255.255"],
      ["::ffff:10.0.0.1", "10.0.0.1"],
      ["::FFFF:a00:1", "10.0.0.1"],
      ["::1.2.3.4", "::102:304"],
      ["64:ff9b::010.0.0.01", "64:ff9b::a00:1"],
      ["2001:DB8:0:0:1:0:0:1", "2001:db8::1:0:0:1"],
      ["2001:db8:0:1:1:1:1:1", "2001:db8:0:1:1:1:1:1"],
      ["1:2:3:4:5:6:7::", "1:2:3:4:5:6:7:0"],
      ["::", "::"],
    ] as const
  ) {
    assert.equal(formatAddress(address(text)), canonical, text);
  }
});

Deno.test("text that is not an address is rejected", () => {
  for (
    const text of [
      "",
      " ",
      "10.0.0",
      "10.0.0.1.2",
      "10.0.0.256",
      "10.0.0.1 ",
      "10..0.1",
      ".1.2.3",
      "1.2.3.",
      "0x0a.0.0.1",
      "-1.0.0.1",
      "1.2.3.4/8",
      ":",
      ":::",
      "1::2::3",
      "1:2:3:4:5:6:7",
      "1:2:3:4:5:6:7:8:9",
      "1:2:3:4:5:6:7:8::",
      "::1:2:3:4:5:6:7:8",
      "1:",
      ":1",
      "fe80::1%eth0",
      "12345::",
      "::1.2.3",
      "::1.2.3.4.5",
      "1.2.3.4::",
      "1:2:3:4:5:6:7:1.2.3.4",
      "g::",
      "[::1]",
      "::1\n",
      `${"0".repeat(1_000_000)}1.2.3.4`,
    ]
  ) {
    assert.equal(parseAddress(text), undefined, text.slice(0, 40));
  }
});

Deno.test("an IPv4-mapped address from the kernel is formatted as one", () => {
  const mapped = new Uint8Array(16);
  mapped.set([0xff, 0xff, 10, 0, 0, 1], 10);
  assert.equal(formatAddress(addressFromBytes(mapped)), "::ffff:10.0.0.1");
});

Deno.test("bytes are in network order", () => {
  fc.assert(fc.property(anyBytes, (bytes) => {
    assert.deepEqual(Uint8Array.from(addressFromBytes(bytes), (character) => character.charCodeAt(0)), bytes);
  }));
  assert.throws(() => addressFromBytes(new Uint8Array(5)), /4 or 16 bytes, not 5/);
});

Deno.test("the host bits of a prefix are cleared", () => {
  for (
    const [text, canonical] of [
      ["10.1.2.3/8", "10.0.0.0/8"],
      ["10.1.2.3/32", "10.1.2.3/32"],
      ["10.1.2.3/0", "0.0.0.0/0"],
      ["172.31.255.255/12", "172.16.0.0/12"],
      ["fd00:1:2:3::1/33", "fd00:1::/33"],
      ["010.0.0.0/08", "10.0.0.0/8"],
      ["::ffff:10.1.2.3/104", "10.0.0.0/8"],
    ] as const
  ) {
    assert.equal(formatCidr(cidr(text)), canonical, text);
  }
});

Deno.test("text that is not a prefix is rejected", () => {
  for (
    const text of [
      "",
      "10.0.0.0",
      "10.0.0.0/",
      "10.0.0.0/33",
      "::/129",
      "10.0.0.0/-1",
      "10.0.0.0/8/8",
      "/8",
      "a/8",
      "10.0.0.0/ 8",
      "10.0.0.0/1e1",
      "::ffff:10.0.0.0/95",
    ]
  ) {
    assert.equal(parseCidr(text), undefined, text);
  }
});

Deno.test("containment agrees with an independent implementation", () => {
  const near = fc.tuple(anyCidr, fc.nat(127)).map(([range, bit]) => {
    const bytes = Uint8Array.from(range.address, (character) => character.charCodeAt(0));
    const at = bit % (bytes.length * 8);
    bytes[at >> 3] = (bytes[at >> 3] ?? 0) ^ (0x80 >> (at & 7));
    return [range, addressFromBytes(bytes)] as const;
  });
  fc.assert(
    fc.property(fc.oneof(near, fc.tuple(anyCidr, anyBytes.map(addressFromBytes))), ([range, other]) => {
      const [a, b] = [range.address, other].map((one) =>
        ipaddr.fromByteArray(Array.from(one, (c) => c.charCodeAt(0)))
      );
      const expected = a?.kind() === b?.kind() && b?.match(a ?? b, range.prefix);
      assert.equal(contains(range, other), expected);
    }),
    { numRuns: 2000 },
  );
});

Deno.test("normalised prefixes contain the same addresses, and none covers another", () => {
  const small = fc.tuple(
    fc.constantFrom("10.0.0.0", "10.0.0.64", "10.0.1.0", "10.128.0.0", "fd00::", "fd00::8000"),
    fc.nat(128),
  )
    .map(([text, bits]) => cidrOf(address(text), bits % (text.includes(":") ? 129 : 33)));
  fc.assert(fc.property(fc.array(small, { maxLength: 12 }), (ranges) => {
    const kept = normaliseCidrs(ranges);
    for (const range of ranges) assert.ok(kept.some((one) => covers(one, range)));
    for (const one of kept) {
      assert.ok(ranges.some((range) => formatCidr(range) === formatCidr(one)));
      assert.equal(kept.filter((other) => covers(other, one)).length, 1);
    }
    assert.deepEqual(normaliseCidrs(ranges.toReversed()), kept);
  }));
});

Deno.test("addresses are sorted by family and value", () => {
  const sorted = ["0.0.0.1", "9.255.255.255", "10.0.0.2", "10.0.0.10", "::1", "fd00::2", "fd00::10"];
  assert.deepEqual(sorted.toReversed().map(address).sort(compareAddresses).map(formatAddress), sorted);
});

Deno.test("loopback, link-local, unspecified, multicast and broadcast addresses are recognised", () => {
  assert.equal(familyOf(address("10.0.0.1")), "IPv4");
  assert.equal(familyOf(address("::")), "IPv6");
  for (const text of ["127.0.0.1", "127.255.0.3", "::1"]) assert.ok(isLoopback(address(text)), text);
  for (const text of ["128.0.0.1", "::2", "::"]) assert.ok(!isLoopback(address(text)), text);
  for (const text of ["0.0.0.0", "::"]) assert.ok(isUnspecified(address(text)), text);
  for (const text of ["0.0.0.1", "::1"]) assert.ok(!isUnspecified(address(text)), text);
  assert.equal(formatSocketAddress(address("10.0.0.1"), 80), "10.0.0.1:80");
  assert.equal(formatSocketAddress(address("fd00::1"), 80), "[fd00::1]:80");
  for (const text of ["224.0.0.1", "239.255.255.255", "ff02::1", "ffff::"]) {
    assert.ok(isMulticast(address(text)), text);
  }
  for (const text of ["223.255.255.255", "240.0.0.0", "fe80::1"]) {
    assert.ok(!isMulticast(address(text)), text);
  }
  assert.ok(isBroadcast(address("255.255.255.255")));
  for (const text of ["255.255.255.254", "ffff::"]) assert.ok(!isBroadcast(address(text)), text);
});
