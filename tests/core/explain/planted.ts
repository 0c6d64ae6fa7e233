import { nftables } from "../../../backends/nftables/mode.ts";
import type { ModeTraits } from "../../../core/backend/mode.ts";
import { knowledgeOf } from "../../../core/commands/explain/knowledge.ts";
import type { Knowledge } from "../../../core/explain/knowledge.ts";
import { documentsOf, objectsOf } from "../../../core/manifests/documents.ts";
import { parseObject } from "../../../core/objects/parse/index.ts";
import type { ServiceWarning, UnusedObject } from "../../../core/source.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { nodeView } from "../../../core/sync/node_view.ts";
import { PlanQueue } from "../../../core/sync/plan_queue.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { address, cidr } from "../plan/builders.ts";

/**
 * Node "here" in zone "a": 192.0.2.1 and a second address 198.51.100.1, its pods in 10.244.1.0/24. In a cluster of both
 * families also 2001:db8::1, after a link-local address, and pods in fd00:244:1::/64.
 */
const NODE = `
apiVersion: v1
kind: Node
metadata: {name: here, labels: {topology.kubernetes.io/zone: a}}
spec: {podCIDRs: [10.244.1.0/24]}
status: {addresses: [{type: InternalIP, address: 192.0.2.1}]}
---
apiVersion: networking.k8s.io/v1
kind: ServiceCIDR
metadata: {name: kubernetes}
spec: {cidrs: [10.96.0.0/16]}
`;

/** Knowledge of node "here" about a cluster with these objects, as YAML, besides itself. */
export function knowledgeFrom(
  yaml: string,
  mode: Pick<ModeTraits, "limitationsOf"> = {},
  families: readonly Family[] = ["IPv4"],
): Knowledge {
  const warnings: ServiceWarning[] = [];
  const unused: UnusedObject[] = [];
  const queue = new PlanQueue("here", new RecordingLog(), (warning) => warnings.push(warning));
  const raws = [...documentsOf(`${NODE}---\n${yaml}`)].flatMap((document) => objectsOf(document, () => {}));
  for (const { value } of raws) {
    const parsed = parseObject(value, () => {});
    if ("object" in parsed) queue.upsert(parsed.object);
    else if ("ignored" in parsed) unused.push({ ref: parsed.ignored, why: parsed.why, isInvalid: false });
    else if ("invalid" in parsed && parsed.ref !== undefined) {
      unused.push({ ref: parsed.ref, why: parsed.invalid, isInvalid: true });
    }
  }
  const addresses = [
    ...["127.0.0.1", "192.0.2.1", "198.51.100.1"],
    ...families.includes("IPv6") ? ["::1", "fe80::1", "2001:db8::1"] : [],
  ].map(address);
  const view = nodeView(
    {
      mode: nftables,
      nodeName: "here",
      bindAddress: undefined,
      detectLocal: { mode: "ClusterCIDR", clusterCidrs: [cidr("10.244.0.0/16"), cidr("fd00:244::/32")] },
      masqueradeAll: false,
      masqueradeBit: 14,
      localhostNodePorts: false,
      trafficMetrics: "connections",
      nodePortAddresses: ["primary"],
    },
    families,
    queue.store,
    addresses,
    undefined,
  );
  queue.setView(view);
  const batch = queue.take();
  batch.accept(batch.changes);
  batch.close();
  const desired = { settings: view.settings, plans: queue.applied };
  const cluster = { store: queue.store, families, view, desired, addresses, warnings, unused };
  return knowledgeOf(cluster, mode);
}
