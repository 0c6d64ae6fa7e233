import assert from "node:assert/strict";
import { asInForce, explainInForce, rejectionsOf } from "../../../../core/commands/explain/in_force.ts";
import type { Explanation } from "../../../../core/explain/explanation.ts";
import type { Ask } from "../../../../core/commands/explain/running.ts";
import { Activity } from "../../../../core/observe/status/activity.ts";
import type { PlanQueue } from "../../../../core/sync/plan_queue.ts";
import { inForce } from "../../observe/status/known_services.ts";
import { runningApi } from "../../observe/status/running_api.ts";
import { service, slice } from "../../sync/objects.ts";

/** A running proxy that has these services in force, asked over its API. */
function running(
  services: PlanQueue,
  sharedMs = 0,
): { readonly ask: Ask; readonly activity: Activity; readonly asked: string[] } {
  const { activity, answer } = runningApi(services, {}, sharedMs);
  const asked: string[] = [];
  const ask: Ask = async <Answer>(path: string) => {
    asked.push(path);
    const response = await answer(`/api/v1/${path}`);
    assert.equal(response?.status, 200, path);
    return await response?.json() as Answer;
  };
  return { ask, activity, asked };
}

const web = [service("web", "10.96.0.1"), slice("web", "10.1.0.1")];
const desiredOf = ({ applied, view }: PlanQueue) => ({ settings: view.settings, plans: applied });

Deno.test("plans are compared as the running proxy has them in force", async () => {
  const source = inForce([...web, service("other", "10.96.0.3"), service("new", "10.96.0.9")]);
  const kept = [service("kept", "10.96.0.2"), slice("kept", "10.1.0.2", "10.1.0.3")];
  const proxy = inForce([...web, service("other", "10.96.0.4"), slice("other", "10.1.0.4"), ...kept]);
  const { ask, asked } = running(proxy);
  const inForceThere = await asInForce(ask, desiredOf(source));
  const sorted = (plans: PlanQueue["applied"] | undefined) =>
    [...plans ?? []].sort(([a], [b]) => a < b ? -1 : 1);
  assert.deepEqual(JSON.stringify(sorted(inForceThere?.plans)), JSON.stringify(sorted(proxy.applied)));
  assert.deepEqual(asked.toSorted(), [
    "in-force?offset=0&limit=5000",
    ...["kept", "new", "other"].map((name) => `in-force?service=default%2F${name}`),
  ]);
});

Deno.test("nothing is compared if most of what is in force differs", async () => {
  const proxy = inForce(Array.from({ length: 101 }, (_, index) => service(`s${index}`, `10.96.1.${index}`)));
  assert.equal(await asInForce(running(proxy).ask, desiredOf(inForce(web))), undefined);
});

Deno.test("a service port that the kernel rejects is named, however many it rejects", async () => {
  const names = Array.from({ length: 50 }, (_, index) => `bad-${index}`);
  const objects = names.map((name, index) => service(name, `10.96.1.${index}`));
  const proxy = inForce([...web, ...objects], names);
  const { ask } = running(proxy);
  const causes = async (name: string) =>
    (await rejectionsOf(ask, [`default/${name}`])).map(({ cause, about }) => [cause, about]);
  assert.deepEqual(await causes("bad-49"), [["rejected-by-kernel", "default/bad-49:http"]]);
  assert.deepEqual(await causes("web"), []);
  const live = async (name: string) =>
    (await ask<{ findings: { cause: string }[] }>(`explain?question=default/${name}`)).findings
      .map(({ cause }) => cause);
  assert((await live("bad-49")).includes("rejected-by-kernel"));
  assert(!(await live("web")).includes("rejected-by-kernel"));
});

Deno.test("a service that only the running proxy has is explained by it", async () => {
  const { ask, activity } = running(inForce(web));
  const nothing = { subject: "x", servicePorts: [], moreServicePorts: 0, walks: [], findings: [] };
  const explain = (isDifferent = false) =>
    explainInForce(nothing, { pid: 1, findings: [], isDifferent, ask }, "default/web");
  const namesAndCauses = async () => {
    const { servicePorts, findings } = await explain();
    return [servicePorts.map(({ name }) => name), findings[0]?.cause];
  };
  assert.deepEqual(await namesAndCauses(), [["default/web:http"], "only-in-force"]);
  const ref = { kind: "Service", namespace: "default", name: "web" } as const;
  activity.invalid(ref, "Service default/web: spec.ports: missing");
  assert.deepEqual(await namesAndCauses(), [["default/web:http"], "invalid-service"]);
  assert.equal(
    (await explain()).findings[0]?.text,
    "The object is invalid: spec.ports: missing. The version before it stays in force.",
  );
  assert.equal(await explain(true), nothing, "the plans of other settings are not those of the question");
});

// The index is forgotten a second after the test.
const options = { sanitizeOps: false, sanitizeResources: false };

Deno.test("questions within a second share one look at what is in force", options, async () => {
  const services = inForce(web);
  let looks = 0;
  const counted = new Proxy(services, {
    get(target, name) {
      if (name === "applied") looks++;
      const value = Reflect.get(target, name, target);
      return typeof value === "function" ? value.bind(target) : value;
    },
  });
  const { ask } = running(counted, 1000);
  const answers = await Promise.all(
    ["10.96.7.7:80", "10.96.0.1:80"].map((one) => ask<Explanation>(`explain?question=${one}`)),
  );
  assert.deepEqual(answers.map(({ servicePorts }) => servicePorts.length), [0, 1]);
  // Two for the number of service ports in the status.
  assert.equal(looks, 1 + 2);
});
