import assert from "node:assert/strict";
import { turns } from "../../../core/async/turns.ts";
import { indexInForce, liveKnowledge } from "../../../core/commands/explain/knowledge.ts";
import { explain } from "../../../core/explain/explain.ts";
import type { Explanation } from "../../../core/explain/explanation.ts";
import { parseQuestion } from "../../../core/explain/question.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { address, aService, aSlice, cidr, webPort } from "../plan/builders.ts";

const SERVICES = 10_000;
const ENDPOINTS = 10_000;
/** Checks whether a turn is over, per turn. */
const CHECKS = 500;

const addresses = ["127.0.0.1", "192.0.2.1"].map(address);

/** A running proxy that has 10,000 Services in force, and default/wide with 10,000 endpoints. */
function largeCluster(): PlanQueue {
  const queue = new PlanQueue("here", new RecordingLog());
  for (let index = 0; index < SERVICES; index++) {
    const clusterIP = address(`10.97.${index >> 8}.${index & 255}`);
    queue.upsert(aService({ name: `web-${index}`, clusterIPs: [clusterIP] }));
  }
  const ports = [webPort, { ...webPort, name: "https", port: 443 }];
  queue.upsert(aService({ name: "wide", clusterIPs: [address("10.96.0.9")], ports }));
  const sketches = Array.from({ length: ENDPOINTS }, (_, index) => ({
    at: `10.244.${index >> 8}.${index & 255}`,
  }));
  const slicePorts = ports.map(({ name }) => ({ name, protocol: "TCP" as const, port: 8080 }));
  queue.upsert(aSlice(sketches, { service: "wide", name: "wide-1", ports: slicePorts }));
  const configuration = {
    mode: nftables,
    nodeName: "here",
    bindAddress: undefined,
    detectLocal: { mode: "ClusterCIDR", clusterCidrs: [cidr("10.244.0.0/16")] },
    masqueradeAll: false,
    masqueradeBit: 14,
    localhostNodePorts: false,
    trafficMetrics: "connections",
    nodePortAddresses: ["primary"],
  } as const;
  queue.setView(nodeView(configuration, ["IPv4"], queue.store, addresses, undefined));
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  return queue;
}

/** Asks a running proxy, with a clock that moves when it is read. @returns the answer, and the number of turns that it took. */
async function ask(queue: PlanQueue, text: string): Promise<[Explanation, number]> {
  const question = parseQuestion(text);
  assert("about" in question);
  const [now, next] = [performance.now, turns.next];
  let [time, count] = [now.call(performance), 0];
  performance.now = () => time += 1 / CHECKS;
  turns.next = () => {
    count++;
    return next.call(turns);
  };
  try {
    const inForce = await indexInForce(queue);
    const knowledge = liveKnowledge(queue, inForce, addresses, {}, { reasonOf: () => undefined });
    return [await explain(knowledge, question, undefined), count];
  } finally {
    [performance.now, turns.next] = [now, next];
  }
}

Deno.test("a question about a large cluster is answered in turns, and the answer is bounded", async (t) => {
  const queue = largeCluster();
  // Every question copies and indexes all plans, and all endpoints of all plans.
  const index = (2 * SERVICES + 2 * ENDPOINTS) / CHECKS;
  const cases: readonly (readonly [question: string, cause: string | undefined, more: number])[] = [
    ["default/web-7", "no-slices", SERVICES],
    ["default/wbe-7777", "unknown-service", 2 * SERVICES],
    ["10.97.0.7:81", "wrong-port", SERVICES],
    ["10.97.255.255:80", "not-a-service", SERVICES],
    ["10.244.39.15:8080", "address-of-an-endpoint", SERVICES + ENDPOINTS],
    // Three clients of two ports, and the endpoints that the plans select.
    ["default/wide", undefined, SERVICES + (2 * 3 + 2) * ENDPOINTS],
  ];
  for (const [question, cause, more] of cases) {
    await t.step(question, async () => {
      const [{ findings }, count] = await ask(queue, question);
      assert.equal(findings[0]?.cause, cause);
      const expected = index + more / CHECKS;
      assert(count > 0.9 * expected, `${count} turns instead of ${expected}`);
    });
  }
  const [wide] = await ask(queue, "default/wide");
  assert.deepEqual(
    wide.servicePorts.map(({ endpoints, moreEndpoints }) => [endpoints.length, moreEndpoints]),
    [[100, 9900], [100, 9900]],
  );
  assert(wide.servicePorts.every(({ endpoints }) => endpoints.every(({ isUsed }) => isUsed)));
  assert.match(
    wide.servicePorts[0]?.frontends[0]?.outcomes[0]?.outcome ?? "",
    /^one of 10000 endpoints/,
  );
});

Deno.test("a Service of many ports and frontends is listed in part", async () => {
  const queue = largeCluster();
  const ports = Array.from(
    { length: 200 },
    (_, index) => ({ ...webPort, name: `p${index}`, port: 1000 + index }),
  );
  const externalIPs = Array.from({ length: 100 }, (_, index) => address(`198.18.0.${index}`));
  queue.upsert(aService({ name: "broad", clusterIPs: [address("10.96.0.8")], ports, externalIPs }));
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  const [{ servicePorts, moreServicePorts, findings }] = await ask(queue, "default/broad");
  assert.deepEqual([servicePorts.length, moreServicePorts, findings.length], [64, 136, 64]);
  assert.deepEqual([servicePorts[0]?.frontends.length, servicePorts[0]?.moreFrontends], [64, 37]);
  const [noPort] = await ask(queue, "default/broad:none");
  assert.match(noPort.findings[0]?.text ?? "", /\(p7\) and 192 more\.$/);
});

Deno.test("a question is no longer than the names of objects", () => {
  for (const text of [`${"d".repeat(64)}/a`, `d/${"a".repeat(254)}`, `d/a:${"p".repeat(64)}`]) {
    const question = parseQuestion(text);
    assert("problem" in question && / is too long: must be at most \d+ characters$/.test(question.problem));
  }
  assert("about" in parseQuestion(`${"d".repeat(63)}/${"a".repeat(253)}:${"p".repeat(63)}`));
});
