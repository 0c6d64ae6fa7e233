import assert from "node:assert/strict";
import { parseScenario } from "./format/scenario.ts";

const head = "name: a name\nwhy: a reason\n";

function assertInvalid(text: string, message: RegExp): void {
  assert.throws(() => parseScenario("file.yaml", head + text), { message });
}

Deno.test("the steps of a scenario come from given, expect and then, in this order", () => {
  const scenario = parseScenario(
    "file.yaml",
    `${head}given:
  - service: { name: web, ports: [{ port: 80 }] }
  - endpoints: { of: web, ready: [pod-a, pod-c@elsewhere, { pod: pod-d, zones: [z] }] }
expect:
  - { from: outside, to: clusterIP, reaches: [pod-a], source: node }
then:
  - remove endpoint: pod-a
  - expect: { from: [node, pod-a], to: clusterIP, answer: refused }
`,
  );
  assert.equal(scenario.families, "both");
  assert.deepEqual(scenario.modes, ["nftables", "iptables", "ipvs", "ebpf", "userspace"]);
  assert.deepEqual(scenario.steps.map((step) => Object.keys(step)[0]), [
    "service",
    "endpoints",
    "expect",
    "remove endpoint",
    "expect",
  ]);
  const [, endpoints, expectation] = scenario.steps;
  assert(endpoints && "endpoints" in endpoints && expectation && "expect" in expectation);
  assert.deepEqual(endpoints.endpoints.ready, [
    { pod: "pod-a", node: undefined },
    { pod: "pod-c", node: "elsewhere" },
    { pod: "pod-d", zones: ["z"] },
  ]);
  assert.deepEqual(expectation.expect.from, ["outside"]);
});

Deno.test("an error in a scenario names the file, the path and the problem", () => {
  assertInvalid("given: [", /^file\.yaml: .*line 3/s);
  assertInvalid("expect: []", /^file\.yaml: given: /);
  assertInvalid("given: []\nexpected: []", /^file\.yaml: expected: /);
  assertInvalid(
    "given:\n  - servise: {}",
    /^file\.yaml: given\[0\]: must be one of service, endpoints, .* it is \{"servise":\{\}\}/,
  );
  assertInvalid("given:\n  - service: { name: web }", /^file\.yaml: given\[0\]: service\.ports: /);
  assertInvalid(
    "given:\n  - service: { name: web, ports: [{ port: 70000 }] }",
    /^file\.yaml: given\[0\]: service\.ports\.0\.port: .*65535/,
  );
  assertInvalid(
    "given: []\nexpect: [{ from: pod-x, to: clusterIP, answer: none }]",
    /^file\.yaml: expect\[0\]: expect\.from: must be one or several of node, elsewhere/,
  );
  assertInvalid(
    "given: []\nexpect: [{ from: node, to: clusterIP }]",
    /^file\.yaml: expect\[0\]: expect: needs exactly one of reaches, answer and http/,
  );
  assertInvalid(
    "given: []\nexpect: [{ from: node, to: clusterIP, reaches: [pod-a], source: client, times: 3 }]",
    /^file\.yaml: expect\[0\]: expect\.times: /,
  );
});
