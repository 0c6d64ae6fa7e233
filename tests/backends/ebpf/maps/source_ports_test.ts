import assert from "node:assert/strict";
import { halvesOf, sourcePorts } from "../../../../backends/ebpf/maps/source_ports.ts";

Deno.test("source ports are neither ports of the node's own connections nor node ports", () => {
  assert.deepEqual(sourcePorts("32768\t60999\n"), [{ first: 1024, last: 29999 }, {
    first: 61000,
    last: 65535,
  }]);
  assert.deepEqual(sourcePorts("1024\t29000"), [{ first: 29001, last: 29999 }, {
    first: 32768,
    last: 65535,
  }]);
  assert.deepEqual(sourcePorts("15000\t60999"), [{ first: 1024, last: 14999 }, {
    first: 61000,
    last: 65535,
  }]);
  assert.deepEqual(sourcePorts("2000\t3000"), [
    { first: 1024, last: 1999 },
    { first: 3001, last: 29999 },
    { first: 32768, last: 65535 },
  ]);
  assert.deepEqual(sourcePorts("31000\t31999"), [{ first: 1024, last: 29999 }, {
    first: 32768,
    last: 65535,
  }]);
});

Deno.test("ports are shared if the node's own connections have nearly all", () => {
  assert.deepEqual(sourcePorts("1024\t65535"), [{ first: 32768, last: 65535 }]);
  assert.deepEqual(sourcePorts(""), sourcePorts("32768 60999"));
});

Deno.test("the halves of port ranges are equal and disjoint", () => {
  assert.deepEqual(halvesOf([{ first: 10, last: 19 }, { first: 30, last: 35 }]), [
    [{ first: 10, last: 17 }],
    [{ first: 18, last: 19 }, { first: 30, last: 35 }],
  ]);
  assert.deepEqual(halvesOf([{ first: 10, last: 14 }, { first: 30, last: 34 }]), [
    [{ first: 10, last: 14 }],
    [{ first: 30, last: 34 }],
  ]);
  assert.deepEqual(halvesOf([{ first: 10, last: 12 }, { first: 20, last: 20 }, { first: 30, last: 35 }]), [
    [{ first: 10, last: 12 }, { first: 20, last: 20 }, { first: 30, last: 30 }],
    [{ first: 31, last: 35 }],
  ]);
});
