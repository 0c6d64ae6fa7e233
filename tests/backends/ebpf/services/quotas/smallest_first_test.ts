import assert from "node:assert/strict";
import fc from "fast-check";
import { smallestFirst } from "../../../../../backends/ebpf/services/quotas/smallest_first.ts";

type Request = readonly [namespace: string, amount: number];

/** Serves requests as long as a namespace has less than its limit. */
function serve(requests: readonly Request[], limits: Readonly<Record<string, number>> = {}) {
  const has = new Map<string, number>();
  const of = (namespace: string) => has.get(namespace) ?? 0;
  const served: Request[] = [];
  const rejected: Request[] = [];
  for (const request of smallestFirst(requests, ([namespace]) => namespace, of)) {
    const [namespace, amount] = request;
    if (of(namespace) + amount > (limits[namespace] ?? Infinity)) {
      rejected.push(request);
    } else {
      has.set(namespace, of(namespace) + amount);
      served.push(request);
    }
  }
  return { served, rejected };
}

Deno.test("the namespace that has least is served next, and the first by name of equal ones", () => {
  const { served } = serve([["b", 1], ["b", 1], ["b", 1], ["a", 2], ["a", 2], ["c", 9]]);
  assert.deepEqual(served.map(([namespace]) => namespace).join(""), "abcbab");
});

Deno.test("every request comes once, the least always next, and without rejected ones in the same order", () => {
  const namespace: fc.Arbitrary<string> = fc.constantFrom("a", "b", "c", "d", "e", "f", "g");
  const request = fc.tuple(namespace, fc.integer({ min: 1, max: 9 }));
  const limits = fc.dictionary(namespace, fc.integer({ min: 0, max: 20 }));
  fc.assert(fc.property(fc.array(request), limits, (requests, limits) => {
    const { served, rejected } = serve(requests, limits);
    assert.deepEqual(new Set([...served, ...rejected]), new Set(requests));
    const has = new Map(requests.map(([namespace]) => [namespace, 0]));
    for (const [index, [namespace, amount]] of served.entries()) {
      for (const [other] of served.slice(index)) assert(has.get(namespace)! <= has.get(other)!);
      has.set(namespace, has.get(namespace)! + amount);
    }
    assert.deepEqual(serve(requests.filter((request) => !rejected.includes(request)), limits).served, served);
  }));
});
