import assert from "node:assert/strict";
import { LimitationReports } from "../../../../core/commands/run/limitations.ts";
import type { Limitation } from "../../../../core/plan/limitation.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import type { ServiceWarning } from "../../../../core/source.ts";
import { planOf } from "../../../backends/plans.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";

const tooMany: Limitation = {
  cause: "too-many",
  text: "it has more than one endpoint",
  advice: "Remove one",
};

Deno.test("what a mode does not serve is reported once per service port, and again when it comes back", () => {
  const log = new RecordingLog();
  const warnings: ServiceWarning[] = [];
  const limitationsOf = ({ clusterEndpoints }: ServicePortPlan) =>
    clusterEndpoints.length > 1 ? [tooMany] : [];
  const reports = new LimitationReports({ limitationsOf }, log, (warning) => warnings.push(warning));
  const plan = (...endpoints: readonly string[]) =>
    planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints });
  const [one, two, three] = [
    plan("10.1.0.1:80"),
    plan("10.1.0.1:80", "10.1.0.2:80"),
    plan("10.1.0.1:80", "10.1.0.3:80"),
  ];
  const change = (old: ServicePortPlan | undefined, next: ServicePortPlan | undefined) =>
    reports.synced({ changes: [{ key: one.key, old, new: next }] });
  change(undefined, one);
  assert.deepEqual(log.lines, []);
  change(one, two);
  change(two, three);
  assert.deepEqual(log.lines, ["warn: The mode does not serve all of a service port"]);
  assert.deepEqual(warnings, [{
    namespace: "default",
    name: "web",
    reason: "NotServedByMode",
    action: "ProgramService",
    note: "service port default/web:http: it has more than one endpoint. Remove one",
  }]);
  change(three, one);
  change(one, two);
  change(two, undefined);
  change(undefined, two);
  assert.equal(warnings.length, 3);
});

Deno.test("a mode without limitations reports nothing", () => {
  const log = new RecordingLog();
  const reports = new LimitationReports({}, log, () => assert.fail("no warning is expected"));
  const plan = planOf({ clusterIP: "10.96.0.10:80" });
  reports.synced({ changes: [{ key: plan.key, old: undefined, new: plan }] });
  assert.deepEqual(log.lines, []);
});
