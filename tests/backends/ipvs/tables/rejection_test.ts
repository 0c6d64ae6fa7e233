import assert from "node:assert/strict";
import { compile } from "../../../../backends/ipvs/compile.ts";
import { TABLE } from "../../../../backends/ipvs/tables/chains.ts";
import { describeElement } from "../../../../backends/ipvs/tables/describe_element.ts";
import { setsOf } from "../../../../backends/ipvs/tables/sets.ts";
import { TableBatch } from "../../../../backends/nf_tables/batch.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { rejectedPlans } from "../../../../backends/nf_tables/fixed/rejected_plans.ts";
import { writeElements } from "../../../../backends/nf_tables/fixed/table.ts";
import { decodeRejection, describeRejection } from "../../../../backends/nf_tables/rejection.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { addressOf, planOf, settingsOf } from "../../plans.ts";
import { defaultOptions } from "../options.ts";

const settings = settingsOf("IPv4", { nodePorts: [addressOf("192.168.7.1")] });
const compiled = (plan: ServicePortPlan) => compile(plan, settings, defaultOptions);

/** Describes the rejection of the only element of a plan in a set. */
function described(plan: ServicePortPlan, set: string, among: readonly ServicePortPlan[]): string {
  const batch = new TableBatch(TABLE, new MessageWriter(), 1);
  const elements = compiled(plan).elements.filter((element) => element.set === set);
  assert.equal(elements.length, 1);
  const family = tableFamilyOf("IPv4");
  writeElements(batch, family, "add", setsOf(family), elements);
  const rejection = decodeRejection(batch.end(), { seq: 2, errno: 17 });
  assert.ok(rejection);
  return describeRejection(
    TABLE.name,
    rejection,
    rejectedPlans(rejection, { plans: among, elementsOf: (plan) => compiled(plan).elements }),
    describeElement,
  );
}

Deno.test("all service ports with the rejected frontend are named, except those that have it as a node port", () => {
  const nodePort = planOf({ nodePort: 30080 });
  const external = planOf({ name: "other", externalIPs: ["192.168.7.1:30080"] });
  const balancer = planOf({ name: "balancer", loadBalancerIPs: ["192.168.7.1:30080"] });
  const elsewhere = planOf({ name: "elsewhere", externalIPs: ["192.168.7.2:30080"] });
  const suffix = "(192.168.7.1:30080/TCP) to virtual-servers of table ip kube-proxy-ipvs";
  const named = (...among: readonly ServicePortPlan[]) => described(external, "virtual-servers", among);
  assert.equal(named(external, elsewhere), `add service default/other:http ${suffix}`);
  assert.equal(named(nodePort, external), `add service default/other:http ${suffix}`);
  assert.equal(named(external, balancer), `add service default/other:http, default/balancer:http ${suffix}`);
  assert.equal(named(nodePort), `add service default/web:http ${suffix}`);
});

Deno.test("elements whose key is an address are described by it", () => {
  const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80@here"] });
  assert.equal(
    described(web, "ipvs-ips", [web]),
    "add service default/web:http (10.96.0.10) to ipvs-ips of table ip kube-proxy-ipvs",
  );
  assert.equal(
    described(web, "hairpin-connections", []),
    "add 10.1.0.1 to hairpin-connections of table ip kube-proxy-ipvs",
  );
});
