import assert from "node:assert/strict";
import { maglevTable } from "../../../../backends/ebpf/services/maglev.ts";
import type { Endpoint } from "../../../../core/plan/plan.ts";
import { addressOf } from "../../plans.ts";

const SIZE = 1021;

function endpoints(count: number): readonly Endpoint[] {
  return Array.from({ length: count }, (_, index) => ({
    address: addressOf(`10.1.${index >> 8}.${index & 0xff}`),
    port: 8080,
    isLocal: false,
  }));
}

function shares(table: readonly Endpoint[]): ReadonlyMap<Endpoint, number> {
  const counts = new Map<Endpoint, number>();
  for (const endpoint of table) counts.set(endpoint, (counts.get(endpoint) ?? 0) + 1);
  return counts;
}

Deno.test("endpoints have equal shares of a Maglev table, within one slot", () => {
  for (const count of [1, 2, 3, 10, 100]) {
    const counts = [...shares(maglevTable(endpoints(count), SIZE)).values()];
    assert.equal(counts.length, count);
    assert(Math.max(...counts) - Math.min(...counts) <= 1, `${count} endpoints: ${counts}`);
  }
});

Deno.test("weights determine the shares of a Maglev table, within one slot per endpoint", () => {
  const weighed = endpoints(4).map((endpoint, index) => ({ ...endpoint, weight: [1, 2, 3, 10][index]! }));
  const counts = shares(maglevTable(weighed, SIZE));
  for (const endpoint of weighed) {
    const fair = SIZE * endpoint.weight / 16;
    assert(
      Math.abs((counts.get(endpoint) ?? 0) - fair) <= weighed.length,
      `${counts.get(endpoint)}, not ${fair}`,
    );
  }
});

Deno.test("when an endpoint goes, few slots of the others change", () => {
  const before = maglevTable(endpoints(10), SIZE);
  const gone = endpoints(10)[3];
  const after = maglevTable(endpoints(10).filter(({ address }) => address !== gone?.address), SIZE);
  const kept = before.filter(({ address }) => address !== gone?.address).length;
  const moved =
    before.filter((endpoint, slot) =>
      endpoint.address !== gone?.address && endpoint.address !== after[slot]?.address
    ).length;
  // Selection by hash modulo count would move nine tenths.
  assert(moved / kept < 0.15, `${moved} of ${kept} slots moved`);
});

Deno.test("a Maglev table does not depend on the order of the endpoints", () => {
  const addresses = (table: readonly Endpoint[]) => table.map(({ address }) => address);
  assert.deepEqual(
    addresses(maglevTable(endpoints(7).toReversed(), SIZE)),
    addresses(maglevTable(endpoints(7), SIZE)),
  );
});
