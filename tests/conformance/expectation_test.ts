import assert from "node:assert/strict";
import type { Outcome } from "../lab/agent.ts";
import type { MachineName } from "../lab/topology.ts";
import { complain, type Observation, Remembered } from "./expectation.ts";
import type { ExpectSpec } from "./scenario.ts";

const spec = (what: Partial<ExpectSpec>): ExpectSpec => ({ from: ["outside"], to: "clusterIP", ...what });

function seen(...outcomes: Outcome[]): Observation {
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
const silence: Outcome = { outcome: "timeout" };

Deno.test("a list of pods means each of them, and nobody else", () => {
  const reaches = spec({ reaches: ["pod-a", "pod-b:8080"] });
  const complaint = (...outcomes: Outcome[]) => complain([seen(...outcomes)], reaches, new Remembered());
  assert.equal(complaint(answer("pod-a"), answer("pod-b")), undefined);
  assert.equal(
    complaint(answer("pod-a"), answer("pod-a")),
    "outside to clusterIP (10.96.0.10 port 80/TCP): expected pod-a and pod-b:8080; " +
      "seen: pod-a:8080 seeing 192.168.8.9 (2 times)",
  );
  assert.match(
    complaint(answer("pod-a"), answer("pod-b"), answer("pod-c"))!,
    /expected pod-a and pod-b:8080/,
  );
  assert.match(complaint(answer("pod-a"), answer("pod-b"), silence)!, /expected an answer every time/);
});

Deno.test("refused and dropped are told apart, and none is either", () => {
  const passes = (answer: "none" | "refused" | "dropped", outcome: Outcome) =>
    complain([seen(outcome)], spec({ answer }), new Remembered()) === undefined;
  assert.deepEqual(
    [
      passes("refused", refused),
      passes("dropped", silence),
      passes("none", refused),
      passes("none", silence),
    ],
    [true, true, true, true],
  );
  assert.deepEqual(
    [passes("refused", silence), passes("dropped", refused), passes("none", answer("pod-a"))],
    [false, false, false],
  );
});

Deno.test("the address that the pods see is the client's, or one of the node's", () => {
  const passes = (source: "client" | "node" | "pod-b", address: string) =>
    complain([seen(answer("pod-a", address))], spec({ reaches: ["pod-a"], source }), new Remembered()) ===
      undefined;
  assert.deepEqual(
    [passes("client", "192.168.8.9"), passes("node", "10.244.1.1"), passes("pod-b", "10.244.1.12")],
    [true, true, true],
  );
  assert.deepEqual([passes("client", "192.168.8.1"), passes("node", "192.168.8.9")], [false, false]);
});

Deno.test("where sockets are balanced, pods of this node keep the address that others lose to the node's", () => {
  const passes = (from: MachineName, address: string) => {
    const observation = { ...seen(answer("pod-a", address)), from };
    return complain(
      [observation],
      spec({ reaches: ["pod-a"], source: "node" }),
      new Remembered(),
      true,
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

Deno.test("an even spread allows chance, and no more than that", () => {
  const passes = (a: number, b: number) => {
    const outcomes = [...Array<Outcome>(a).fill(answer("pod-a")), ...Array<Outcome>(b).fill(answer("pod-b"))];
    const even = spec({ reaches: ["pod-a", "pod-b"], spread: "even" });
    return complain([seen(...outcomes)], even, new Remembered()) === undefined;
  };
  assert(passes(330, 270));
  assert(!passes(400, 200));
});

Deno.test("what answered a client is remembered for that client", () => {
  const remembered = new Remembered();
  remembered.note("first", seen(answer("pod-a")));
  const complaint = (
    reaches: ExpectSpec["reaches"],
    outcome: Outcome,
    from: "outside" | "node" = "outside",
  ) => complain([{ ...seen(outcome), from }], spec({ reaches }), remembered);
  assert.equal(remembered.pod("first"), "pod-a");
  assert.equal(complaint("same as first", answer("pod-a")), undefined);
  assert.match(complaint("same as first", answer("pod-b"))!, /expected same as first \(pod-a\)/);
  assert.match(complaint("same as first", answer("pod-a"), "node")!, /expected same as first \(no pod\)/);
  assert.equal(complaint("not same as first", answer("pod-b")), undefined);
  assert.match(complaint("not same as first", answer("pod-a"))!, /every client of clusterIP is where it was/);
});
