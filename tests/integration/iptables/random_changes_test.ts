import assert from "node:assert/strict";
import * as fc from "fast-check";
import type { ReconcileReport } from "../../../core/backend/contract.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { everyKindOfSettings } from "../../backends/everything.ts";
import { planOf, settingsOf } from "../../backends/plans.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { anyStep, changesBetween, granted } from "../support/random_plans.ts";
import { mustBeSame, savedRules } from "./support/saved_rules.ts";

Deno.test("after any sequence of changes the tables equal a first programming of the same plans", async () => {
  await using lab = await ChangedAndFresh.make();
  await lab.changed.reconcile([]);
  let inForce = new Map<PlanKey, ServicePortPlan>();
  let settings = settingsInTurn[0];
  await fc.assert(
    fc.asyncProperty(
      fc.array(anyStep, { minLength: 1, maxLength: 3 }),
      fc.constantFrom(...settingsInTurn),
      async (steps, otherSettings) => {
        for (const changes of steps) {
          const next = granted(changes);
          await lab.changed.apply(changesBetween(inForce, next));
          inForce = next;
          await lab.mustEqualFirstProgramming(inForce, settings);
        }
        const report = await lab.changed.reconcile([...inForce.values()], settings);
        assert.deepEqual(withoutWarnings(report), { found: "ours", differences: [] });
        settings = otherSettings;
        await lab.changed.reconcile([...inForce.values()], settings);
        await lab.mustEqualFirstProgramming(inForce, settings);
      },
    ),
    // No shrinking, because it would start from the state that the failure left.
    { numRuns: 40, endOnFailure: true },
  );
});

Deno.test("a cluster that grows large writes chains without comments of endpoints, and a reconcile removes all", async () => {
  await using lab = await ChangedAndFresh.make();
  const web = planOf({ name: "web", clusterIP: "10.96.0.1:80", affinitySeconds: 60 });
  const webOf2 = planOf({
    name: "web",
    clusterIP: "10.96.0.1:80",
    affinitySeconds: 60,
    endpoints: ["10.1.0.1:8080", "10.1.0.2:8080"],
  });
  const dns = planOf({ name: "dns", clusterIP: "10.96.0.2:53" });
  // With one endpoint of web and one of dns the cluster is not large yet. With two of web it is.
  const endpoints = Array.from({ length: 998 }, (_, index) => `10.2.${index >> 8}.${index & 255}:80`);
  const huge = planOf({ name: "huge", clusterIP: "10.96.0.3:80", endpoints });
  const settings = [settingsOf("IPv4")];
  await lab.changed.reconcile([web, dns], settings);
  await lab.changed.apply([{ key: huge.key, old: undefined, new: huge }]);
  assert.ok((await commentsOfEndpoints(lab.changing)).length > 998);
  await lab.changed.apply([{ key: web.key, old: web, new: webOf2 }]);
  const left = await commentsOfEndpoints(lab.changing);
  assert.deepEqual(left.filter((comment) => comment.startsWith("default/web:http ->")), []);
  assert.ok(left.length > 998);
  const large = plansOf(webOf2, dns, huge);
  const report = await lab.changed.reconcile([...large.values()], settings);
  assert.notDeepEqual(report.differences, []);
  assert.deepEqual(await commentsOfEndpoints(lab.changing), []);
  await lab.mustEqualFirstProgramming(large, settings);

  await lab.changed.apply([{ key: huge.key, old: huge, new: undefined }]);
  await lab.changed.reconcile([webOf2, dns], settings);
  await lab.mustEqualFirstProgramming(plansOf(webOf2, dns), settings);
});

Deno.test("session affinity is kept for endpoints that stay", async () => {
  await using node = await NetworkNamespace.make();
  await using backend = new BackendProcess("iptables", node);
  const service = (...endpoints: readonly string[]) =>
    planOf({ name: "sticky", clusterIP: "10.96.0.1:80", affinitySeconds: 600, endpoints });
  const first = service("10.1.0.1:80");
  const more = service("10.1.0.1:80", "10.1.0.2:80");
  const lists = async () => (await node.run("ls", "/proc/net/xt_recent")).trim().split("\n");
  await backend.reconcile([first]);
  const [stays = ""] = await lists();
  await node.run("sh", "-c", `echo +192.0.2.7 >/proc/net/xt_recent/${stays}`);
  await backend.apply([{ key: more.key, old: first, new: more }]);
  assert.equal((await lists()).length, 2);
  await backend.apply([{ key: more.key, old: more, new: first }]);
  // The kernel frees rules in the background.
  while ((await lists()).length > 1) await new Promise((resolve) => setTimeout(resolve, 10));
  assert.match(await node.run("cat", `/proc/net/xt_recent/${stays}`), /192\.0\.2\.7/);
});

/** Settings that are in force while services change. The test starts with the first ones. */
const settingsInTurn: readonly [readonly NodeSettings[], ...(readonly NodeSettings[])[]] = [
  [settingsOf("IPv4"), settingsOf("IPv6")],
  ...everyKindOfSettings.slice(1),
  [settingsOf("IPv4", { localhostNodePorts: true }), settingsOf("IPv6", { masqueradeAll: true })],
];

/** A node whose plans change, and a node that is always programmed from scratch. */
class ChangedAndFresh implements AsyncDisposable {
  readonly #fresh: NetworkNamespace;
  readonly #programmed: BackendProcess;
  readonly #owned: AsyncDisposableStack;

  private constructor(
    readonly changing: NetworkNamespace,
    readonly changed: BackendProcess,
    fresh: NetworkNamespace,
    programmed: BackendProcess,
    owned: AsyncDisposableStack,
  ) {
    this.#fresh = fresh;
    this.#programmed = programmed;
    this.#owned = owned;
  }

  static async make(): Promise<ChangedAndFresh> {
    await using owned = new AsyncDisposableStack();
    const changing = owned.use(await NetworkNamespace.make());
    const fresh = owned.use(await NetworkNamespace.make());
    const changed = owned.use(new BackendProcess("iptables", changing));
    const programmed = owned.use(new BackendProcess("iptables", fresh));
    return new ChangedAndFresh(changing, changed, fresh, programmed, owned.move());
  }

  async mustEqualFirstProgramming(
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
    settings: readonly NodeSettings[],
  ): Promise<void> {
    await this.#programmed.cleanup();
    await this.#programmed.reconcile([...plans.values()], settings);
    const [actual, expected] = await Promise.all([savedRules(this.changing), savedRules(this.#fresh)]);
    mustBeSame(actual.filter(isNotShared), expected.filter(isNotShared));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#owned[Symbol.asyncDispose]();
  }
}

/** Our rule in KUBE-FIREWALL stays once it exists, because kubelet writes the same rule. */
function isNotShared(line: string): boolean {
  return !line.includes("/filter KUBE-FIREWALL ");
}

function withoutWarnings({ found, differences }: ReconcileReport) {
  return { found, differences };
}

function plansOf(...plans: readonly ServicePortPlan[]): ReadonlyMap<PlanKey, ServicePortPlan> {
  return new Map(plans.map((plan) => [plan.key, plan]));
}

/** Comments that name an endpoint or are in the chain of one. */
async function commentsOfEndpoints(namespace: NetworkNamespace): Promise<readonly string[]> {
  const rules = await savedRules(namespace);
  return rules.flatMap((rule) => {
    const isOfEndpoint = rule.includes("/nat KUBE-SEP-") || rule.includes(" -> ");
    const comment = /--comment ("[^"]*"|\S+)/.exec(rule)?.[1];
    return isOfEndpoint && comment !== undefined ? [comment.replaceAll('"', "")] : [];
  });
}
