import assert from "node:assert/strict";
import { comparisonFindings } from "../../../../core/commands/explain/kernel.ts";
import { rejectionFindings, statusFindings } from "../../../../core/commands/explain/running.ts";
import type { Finding } from "../../../../core/explain/explanation.ts";

type Status = Parameters<typeof statusFindings>[0];

const healthy: Status = {
  now: "2026-01-01T00:10:00Z",
  source: { kind: "API server", connected: true },
  health: { healthy: true, nodeEligible: true },
  errors: {
    rejections: { total: 0, first: [] },
    invalid: { total: 0, first: [] },
    frontendConflicts: 0,
  },
  repairs: { count: 0, last: [] },
};

const failure = { at: "2026-01-01T00:09:00Z", text: "EPERM from nf_tables" };
const repairedAt = (at: string) => ({ count: 1, last: [{ at, text: "table ip kube-proxy deleted by nft" }] });
const lost = { kind: "API server", connected: false, lostAt: "2026-01-01T00:05:00Z" } as const;

const cases: Readonly<
  Record<
    string,
    readonly [more: Partial<Status>, ...findings: readonly (readonly [cause: string, text: RegExp])[]]
  >
> = {
  "nothing is wrong": [{}],
  "the source is lost": [{ source: lost }, [
    "source-lost",
    /since 2026-01-01T00:05:00Z\. .* stays in force\.$/,
  ]],
  "the last sync failed": [
    { errors: { ...healthy.errors, sync: failure } },
    ["sync-fails", /^It failed: EPERM from nf_tables\.$/],
  ],
  "changes wait for too long": [
    { health: { healthy: false, nodeEligible: true } },
    ["unhealthy", /have not been put in force/],
  ],
  "a failed sync explains that changes wait": [
    { errors: { ...healthy.errors, sync: failure }, health: { healthy: false, nodeEligible: true } },
    ["sync-fails", /EPERM/],
  ],
  "another program changed the rules within the last minute": [
    { repairs: repairedAt("2026-01-01T00:09:01Z") },
    ["foreign-changes", /repairs them: table ip kube-proxy deleted by nft\.$/],
  ],
  "another program changed the rules earlier": [{ repairs: repairedAt("2026-01-01T00:09:00Z") }],
};

for (const [state, [more, ...expected]] of Object.entries(cases)) {
  Deno.test(`findings in the status of the running proxy: ${state}`, () => {
    const findings = [...statusFindings({ ...healthy, ...more })];
    assert.deepEqual(findings.map(({ cause }) => cause), expected.map(([cause]) => cause));
    for (const [index, [, text]] of expected.entries()) assert.match(findings[index]?.text ?? "", text);
    assert(findings.every(({ advice }) => advice !== ""));
  });
}

Deno.test("a rejection by the kernel says what stays in force, and when it is tried again", () => {
  const [finding] = rejectionFindings([{
    servicePort: "default/web:http",
    reason: "EEXIST",
    since: "2026-01-01T00:09:00Z",
    nextRetry: "2026-01-01T00:11:00Z",
  }]);
  assert.deepEqual([finding?.cause, finding?.severity, finding?.about], [
    "rejected-by-kernel",
    "problem",
    "default/web:http",
  ]);
  assert.match(
    finding?.text ?? "",
    /EEXIST\. The version before stays in force, .* at 2026-01-01T00:11:00Z\.$/,
  );
});

Deno.test("a difference to the kernel is a problem, unless there is a doubt whether it is intended", () => {
  const brief = (findings: readonly Finding[]) =>
    findings.map(({ cause, severity, text }) => [cause, severity, text]);
  const equal = { found: "ours", added: [], changed: [], removed: [] } as const;
  assert.deepEqual(comparisonFindings("a", equal, ""), []);
  const differs = { ...equal, added: ["1", "2"], changed: ["3"], removed: ["4"] };
  const text = "They differ from the plan: missing 1; missing 2; different 3; and 1 more.";
  assert.deepEqual(brief(comparisonFindings("a", differs, "")), [["kernel-differs", "problem", text]]);
  assert.deepEqual(brief(comparisonFindings("a", differs, "Perhaps.")), [
    ["kernel-differs", "notice", `${text} Perhaps.`],
  ]);
  assert.match(
    comparisonFindings("a", differs, "")[0]?.advice ?? "",
    /flags .* that the proxy was started with/,
  );
  assert.deepEqual(brief(comparisonFindings("a", { ...differs, found: "nothing" }, "")), [
    ["nothing-programmed", "problem", "The kernel has no rules of mode a."],
  ]);
});
