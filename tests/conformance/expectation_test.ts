import assert from "node:assert/strict";
import type { Outcome } from "../lab/agent.ts";
import type { MachineName } from "../lab/topology.ts";
import { findMismatch, NamedPods, type Observation } from "./runner/expectation.ts";
import type { ExpectSpec } from "./format/scenario.ts";

const spec = (fields: Partial<ExpectSpec>): ExpectSpec => ({ from: ["outside"], to: "clusterIP", ...fields });

function observed(...outcomes: Outcome[]): Observation {
  return {
    from: "outside",
    family: "IPv4",
    target: { protocol: "TCP", to: "10.96.0.10", port: 80 },
    outcomes,
  };
}

function answer(pod: string, source = "192.168.8.9"): Outcome {
  return { pod, port: 8080, source, sourcePort: 40000, ms: 1 };
}

const refused: Outcome = { outcome: "refused" };
const timeout: Outcome = { outcome: "timeout" };

Deno.test("a list of pods means that each of them answers, and no other pod", () => {
  const reaches = spec({ reaches: ["pod-a", "pod-b:8080"] });
  const mismatch = (...outcomes: Outcome[]) =>
    findMismatch([observed(...outcomes)], reaches, new NamedPods());
  assert.equal(mismatch(answer("pod-a"), answer("pod-b")), undefined);
  assert.equal(
    mismatch(answer("pod-a"), answer("pod-a")),
    "outside to clusterIP (10.96.0.10 port 80/TCP): expected pod-a and pod-b:8080; " +
      "seen: pod-a:8080 seeing 192.168.8.9 (2 times)",
  );
  assert.match(
    mismatch(answer("pod-a"), answer("pod-b"), answer("pod-c"))!,
    /expected pod-a and pod-b:8080/,
  );
  assert.match(mismatch(answer("pod-a"), answer("pod-b"), timeout)!, /expected an answer every time/);
});

Deno.test("refused and dropped are distinguished, and none matches both", () => {
  const passes = (answer: "none" | "refused" | "dropped", outcome: Outcome) =>
    findMismatch([observed(outcome)], spec({ answer }), new NamedPods()) === undefined;
  assert.deepEqual(
    [
      passes("refused", refused),
      passes("dropped", timeout),
      passes("none", refused),
      passes("none", timeout),
    ],
    [true, true, true, true],
  );
  assert.deepEqual(
    [passes("refused", timeout), passes("dropped", refused), passes("none", answer("pod-a"))],
    [false, false, false],
  );
});

Deno.test("the source address is checked against the client, the node or a machine", () => {
  const passes = (source: "client" | "node" | "pod-b", address: string) =>
    findMismatch(
      [observed(answer("pod-a", address))],
      spec({ reaches: ["pod-a"], source }),
      new NamedPods(),
    ) ===
      undefined;
  assert.deepEqual(
    [passes("client", "192.168.8.9"), passes("node", "10.244.1.1"), passes("pod-b", "10.244.1.12")],
    [true, true, true],
  );
  assert.deepEqual([passes("client", "192.168.8.1"), passes("node", "192.168.8.9")], [false, false]);
});

Deno.test("if connections end at the proxy, endpoints see an address of the node whoever connects", () => {
  const passes = (source: "client" | "node", address: string) =>
    findMismatch(
      [observed(answer("pod-a", address))],
      spec({ reaches: ["pod-a"], source }),
      new NamedPods(),
      { relays: true },
    ) === undefined;
  assert.deepEqual([passes("client", "192.168.8.1"), passes("node", "192.168.8.1")], [true, true]);
  assert.deepEqual([passes("client", "192.168.8.9"), passes("node", "192.168.8.9")], [false, false]);
});

Deno.test("if sockets are balanced, pods of this node keep their address where other clients are masqueraded", () => {
  const passes = (from: MachineName, address: string) => {
    const observation = { ...observed(answer("pod-a", address)), from };
    return findMismatch(
      [observation],
      spec({ reaches: ["pod-a"], source: "node" }),
      new NamedPods(),
      { balancesSockets: true },
    ) === undefined;
  };
  assert.deepEqual(
    [passes("pod-b", "10.244.1.12"), passes("node", "10.244.1.1"), passes("outside", "192.168.8.1")],
    [true, true, true],
  );
  assert.deepEqual(
    [passes("pod-b", "10.244.1.1"), passes("pod-d", "10.244.2.14"), passes("outside", "192.168.8.9")],
    [false, false, false],
  );
});

Deno.test("an even spread allows random deviation only", () => {
  const passes = (a: number, b: number) => {
    const outcomes = [...Array<Outcome>(a).fill(answer("pod-a")), ...Array<Outcome>(b).fill(answer("pod-b"))];
    const even = spec({ reaches: ["pod-a", "pod-b"], spread: "even" });
    return findMismatch([observed(...outcomes)], even, new NamedPods()) === undefined;
  };
  assert(passes(330, 270));
  assert(!passes(400, 200));
});

Deno.test("names given by `as` are kept per client", () => {
  const named = new NamedPods();
  named.set("first", observed(answer("pod-a")));
  const mismatch = (
    reaches: ExpectSpec["reaches"],
    outcome: Outcome,
    from: "outside" | "node" = "outside",
  ) => findMismatch([{ ...observed(outcome), from }], spec({ reaches }), named);
  assert.equal(named.pod("first"), "pod-a");
  assert.equal(mismatch("same as first", answer("pod-a")), undefined);
  assert.match(mismatch("same as first", answer("pod-b"))!, /expected same as first \(pod-a\)/);
  assert.match(mismatch("same as first", answer("pod-a"), "node")!, /expected same as first \(no pod\)/);
  assert.equal(mismatch("not same as first", answer("pod-b")), undefined);
  assert.match(
    mismatch("not same as first", answer("pod-a"))!,
    /every client of clusterIP reaches the same pod as before/,
  );
});
