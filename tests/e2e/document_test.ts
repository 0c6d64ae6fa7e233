import assert from "node:assert/strict";
import { groupOf, render, shortened } from "./page/document.ts";
import { readReport } from "./page/junit.ts";
import { failed, failures, passedWhenRepeated, problems, unexplained } from "./page/outcome.ts";
import type { Recording } from "./page/recording.ts";
import { readExplanations, readSkipRules, readVariants } from "./page/tables.ts";

const settings = new URL("../../scripts/cluster/", import.meta.url);

const report = `<?xml version="1.0" encoding="UTF-8"?>
<testsuites tests="5"><testsuite name="Kubernetes e2e suite">
  <testcase name="[SynchronizedBeforeSuite]" classname="e2e" status="passed" time="0.1"></testcase>
  <testcase name="[It] [sig-network] Services should work [Conformance]" status="passed" time="9"></testcase>
  <testcase name="[It] [sig-network] Services should &lt;fail&gt;" status="failed" time="9">
    <failure type="failed">[FAILED] no answer from &#34;web&#34;&#xA;In [It] at: service.go:9</failure>
    <system-err>[FAILED] &gt; more</system-err>
  </testcase>
  <testcase name="[It] [sig-network] Traffic Distribution should spread" status="skipped" time="1">
    <skipped message="skipped - need at least 3 zones"></skipped></testcase>
  <testcase name="[It] [sig-apps] not selected" status="skipped" time="0"><skipped message="skipped"></skipped></testcase>
</testsuite></testsuites>`;

Deno.test("a report has the tests that were started, with the first line of each failure", () => {
  assert.deepEqual(readReport(report), [
    { name: "Services should work [Conformance]", outcome: "passed" },
    { name: "Services should <fail>", outcome: "failed", message: '[FAILED] no answer from "web"' },
    {
      name: "Traffic Distribution should spread",
      outcome: "unfit",
      message: "need at least 3 zones",
    },
  ]);
});

Deno.test("a failed preparation of the suite is a failed test, and so is one that ran out of time", () => {
  const [suite, late] = readReport(
    '<testcase name="[SynchronizedBeforeSuite]" status="timedout" time="600"></testcase>' +
      '<testcase name="[It] [sig-network] DNS should answer" status="interrupted" time="60"/>',
  );
  assert.deepEqual(suite, { name: "[SynchronizedBeforeSuite]", outcome: "failed", message: "timedout" });
  assert.deepEqual(late, { name: "DNS should answer", outcome: "failed", message: "interrupted" });
});

function recording(subject: string, changes: Partial<Recording> = {}): Recording {
  return {
    variant: "all",
    subject,
    commit: "abc1234",
    kernel: "6.18",
    kubernetes: "v1.37.1",
    containerd: "v2.3.7",
    processes: "8",
    seconds: "100",
    results: [
      { name: "Services should work [Conformance]", outcome: "passed" },
      { name: "Services should last", outcome: "passed" },
    ],
    repeated: [],
    ...changes,
  };
}

const losing = recording("ebpf", {
  results: [
    { name: "Services should work [Conformance]", outcome: "passed" },
    { name: "Services should last", outcome: "failed", message: "timed out" },
  ],
});
const [explanation] = readExplanations("ebpf  *  should last  the kernel of the machine is old");

Deno.test("a failure without an explanation is a problem, and so is an explanation without a failure", () => {
  assert.deepEqual(problems([recording("nftables"), losing], [explanation!]), []);
  assert.match(
    problems([losing], [])[0]!,
    /all, ebpf: unexplained failure of "Services should last": timed out/,
  );
  assert.deepEqual(unexplained([losing], [explanation!]), []);
  assert.match(
    problems([recording("ebpf")], [explanation!])[0]!,
    /explains failures of .*no such test failed/,
  );
  assert.deepEqual(problems([recording("nftables")], [explanation!]), [], "ebpf was not recorded");
});

Deno.test("an explanation is about its subjects and variants only", () => {
  const other = readExplanations("nftables  *  should last  why\nebpf  ipv6  should last  why");
  assert.equal(unexplained([losing], other).length, 1);
});

Deno.test("recordings must be of one commit, of committed sources, and have tests", () => {
  const [mixed] = problems([recording("nftables"), recording("ebpf", { commit: "def5678" })], []);
  assert.match(mixed!, /several commits: abc1234, def5678/);
  assert.deepEqual(
    problems([recording("nftables"), recording("kube-proxy nftables", { commit: "x" })], []),
    [],
  );
  assert.match(
    problems([recording("nftables", { commit: "abc1234+" })], [])[0]!,
    /uncommitted changes to abc1234/,
  );
  assert.match(unexplained([recording("nftables", { results: [] })], [])[0]!, /has no tests/);
});

Deno.test("a test that passes when it is repeated alone is no failure, but is listed", () => {
  const again = { ...losing, repeated: [{ name: "Services should last", outcome: "passed" as const }] };
  assert.deepEqual(failed(again), []);
  assert.deepEqual(passedWhenRepeated(again), [
    { variant: "all", subject: "ebpf", test: "Services should last", message: "timed out" },
  ]);
  assert.equal(failed({ ...again, repeated: losing.results }).length, 1);
});

Deno.test("a failure names the subjects that fail it and those that pass it", () => {
  const [failure] = failures([recording("nftables"), losing], [explanation!]);
  assert.deepEqual({ fails: failure!.fails, passes: failure!.passes }, {
    fails: ["ebpf"],
    passes: ["nftables"],
  });
  assert.deepEqual(failure!.reasons, ["the kernel of the machine is old"]);
});

Deno.test("the page has a column per subject, also of those not recorded, a row per group, and the failures with their reasons", () => {
  const variants = readVariants("all  3  dual  .  -  everything\nipv6  3  ipv6  .  -  nothing");
  const skipped = readSkipRules("GCE|gce  needs a cloud");
  const lines = render(variants, [recording("nftables"), losing], [explanation!], skipped).split("\n");
  for (
    const line of [
      "| Variant | Nodes | Families | Tests | nftables | kube-proxy nftables | iptables | kube-proxy iptables | ebpf |",
      "| all | 3 | dual | everything | 2/2 | – | – | – | 1/2 |",
      "| ipv6 | 3 | ipv6 | nothing | – | – | – | – | – |",
      "| Tests | nftables | ebpf |",
      "| [Conformance] | 1/1 | 1/1 |",
      "| Services | 2/2 | 1/2 |",
      "| duration | 1 min 40 s | 1 min 40 s |",
      "| Services should last | all | ebpf | nftables | the kernel of the machine is old |",
      "| `GCE\\|gce` | needs a cloud |",
    ]
  ) assert(lines.includes(line), line);
  assert(!lines.includes("## Variant ipv6 by group"));
});

Deno.test("the columns of mode ipvs appear when it is recorded, and the page names the kernel that it ran on", () => {
  const variants = readVariants("all  3  dual  .  -  everything");
  const onAnotherKernel = { kernel: "7.3" };
  const recordings = [
    recording("nftables"),
    recording("ipvs", onAnotherKernel),
    recording("kube-proxy ipvs", onAnotherKernel),
  ];
  const lines = render(variants, recordings, [], []).split("\n");
  for (
    const line of [
      "| Variant | Nodes | Families | Tests | nftables | kube-proxy nftables | iptables | kube-proxy iptables | ipvs | kube-proxy ipvs | ebpf |",
      "| all | 3 | dual | everything | 2/2 | – | – | – | 2/2 | 2/2 | – |",
      "| kernel | 6.18, 7.3 (ipvs, kube-proxy ipvs) |",
    ]
  ) assert(lines.includes(line), line);
});

Deno.test("a message on the page has no folders of the machine, and at most 200 characters", () => {
  assert.equal(
    shortened(
      "error running /home/me/peers/kubectl --kubeconfig=/home/me/config https://10.0.0.1:6443/api/v1",
    ),
    "error running kubectl --kubeconfig=config https://10.0.0.1:6443/api/v1",
  );
  assert.equal(shortened("x".repeat(300)).length, 201);
});

Deno.test("a test belongs to the group that its name begins with", () => {
  const groups = {
    "Services should serve endpoints [Conformance]": "Services",
    "LoadBalancers ExternalTrafficPolicy: Local [Feature:LoadBalancer] [Slow] should work from pods":
      "LoadBalancers ExternalTrafficPolicy: Local",
    "[Feature:IPv6DualStack] should have at least one dual-stack node": "[Feature:IPv6DualStack]",
    "[Feature:IPv6DualStack] Granular Checks: Services should function": "[Feature:IPv6DualStack]",
    "Proxy version v1 A set of valid responses are returned": "Proxy",
    "DNS HostNetwork spec.Hostname field is not silently ignored": "DNS HostNetwork",
    "[SynchronizedBeforeSuite]": "[SynchronizedBeforeSuite]",
  };
  for (const [name, group] of Object.entries(groups)) assert.equal(groupOf(name), group);
});

Deno.test("the lists of variants, skipped tests and explanations can be read", async () => {
  const read = (name: string) => Deno.readTextFile(new URL(name, settings));
  const variants = readVariants(await read("e2e-variants.txt"));
  assert(variants.some(({ name }) => name === "all"));
  for (const { nodes, families } of variants) {
    assert.match(`${nodes} ${families}`, /^[1-9] (dual|ipv4|ipv6)$/);
  }
  for (const { subjects } of readExplanations(await read("e2e-explanations.txt"))) {
    assert(subjects.length > 0);
  }
  assert(readSkipRules(await read("e2e-skip.txt")).length > 0);
  assert.throws(() => readSkipRules("only a name"), /has 1 columns: must be 2/);
});
