import assert from "node:assert/strict";
import type { FlowReport } from "./support/flows.ts";
import { assertUnharmedExcept, type Circumstances } from "./support/harm.ts";
import type { TrafficReport } from "./support/traffic.ts";

const nothing: Circumstances = { ended: new Set(), stops: new Map(), moves: [] };
const podEnded: Circumstances = { ...nothing, ended: new Set(["a"]), stops: new Map([["a", [5000]]]) };
const outage: Circumstances = { ...podEnded, outage: { from: 1000, to: 51_000 } };

function report(
  kind: FlowReport["kind"],
  { pods = ["a"], failedAt = [], silenceMs = 0 }: {
    readonly pods?: readonly string[];
    readonly failedAt?: readonly number[];
    readonly silenceMs?: number;
  },
): TrafficReport {
  const answeredBy = Object.fromEntries(pods.map((pod) => [pod, 5]));
  const flow = { name: "web", kind, attempts: 9, longestGapMs: silenceMs, slowestMs: 1, answeredBy };
  return {
    flows: new Map([["client: web", flow]]),
    failures: failedAt.map((at) => ({ flow: "client: web", reason: "refused", at, during: "the test" })),
  };
}

function isHarm(circumstances: Circumstances, traffic: TrafficReport): boolean {
  try {
    assertUnharmedExcept(circumstances, traffic);
    return false;
  } catch (error) {
    assert(error instanceof assert.AssertionError);
    return true;
  }
}

Deno.test("a new connection that fails is harm, also when a pod ended", () => {
  assert(!isHarm(nothing, report("short", {})));
  assert(isHarm(nothing, report("short", { failedAt: [2000] })));
  assert(isHarm(podEnded, report("short", { failedAt: [2000] })));
});

Deno.test("a held connection may end once per pod that ended", () => {
  assert(isHarm(nothing, report("held", { failedAt: [2000] })));
  assert(!isHarm(podEnded, report("held", { pods: ["a", "b"], failedAt: [2000] })));
  assert(isHarm(podEnded, report("held", { pods: ["b", "c"], failedAt: [2000] })));
  assert(isHarm(podEnded, report("held", { pods: ["a", "b"], failedAt: [2000, 2100] })));
});

Deno.test("UDP may be silent for 3 s, or for 3 s after its pod stopped serving", () => {
  assert(!isHarm(nothing, report("udp", { silenceMs: 2900 })));
  assert(isHarm(nothing, report("udp", { silenceMs: 3100 })));
  assert(isHarm(podEnded, report("udp", { pods: ["b"], silenceMs: 3900 })));
  const moved = (at: number) => ({ ...podEnded, moves: [{ flow: "client: web", from: "a", at }] });
  const silent = report("udp", { pods: ["a", "b"], silenceMs: 3900 });
  assert(!isHarm(moved(7900), silent));
  assert(!isHarm(moved(4000), silent));
  assert(isHarm(moved(8100), silent));
});

Deno.test("during an outage, new connections may fail, but not held ones to pods that stay", () => {
  assert(!isHarm(outage, report("short", { failedAt: [1000, 51_000] })));
  assert(isHarm(outage, report("short", { failedAt: [51_001] })));
  assert(!isHarm(outage, report("held", { pods: ["a", "b"], failedAt: [2000, 7000, 12_000] })));
  assert(isHarm(outage, report("held", { pods: ["b"], failedAt: [2000] })));
  assert(!isHarm(outage, report("udp", { pods: ["a", "b"], silenceMs: 53_000 })));
  assert(isHarm(outage, report("udp", { pods: ["b"], silenceMs: 53_000 })));
});
