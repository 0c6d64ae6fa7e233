import assert from "node:assert/strict";
import { parse } from "yaml";
import { run } from "../support/network_namespace.ts";

const root = new URL("../../../", import.meta.url).pathname;
const rules = `${root}deploy/monitoring/alerts.yaml`;
const tests = `${root}tests/integration/monitoring/alerts.yaml`;

Deno.test("promtool accepts the alerts", async () => {
  await run("promtool", "check", "rules", rules);
});

Deno.test("each alert fires for its fault, after its time, and not without it", async () => {
  await run("promtool", "test", "rules", tests);
  const names: string[] = parse(Deno.readTextFileSync(rules)).groups[0].rules
    .map(({ alert }: { alert: string }) => alert);
  const tested: { alertname: string; exp_alerts: unknown[] }[] = parse(Deno.readTextFileSync(tests)).tests
    .flatMap(({ alert_rule_test }: { alert_rule_test: unknown }) => alert_rule_test);
  for (const name of names) {
    const fires = tested.some(({ alertname, exp_alerts }) => alertname === name && exp_alerts.length > 0);
    assert(fires, `no test in which ${name} fires`);
  }
});
