import assert from "node:assert/strict";
import { limitationsOf } from "../../../backends/userspace/limitations.ts";
import { packEndpoints } from "../../../backends/userspace/relay/endpoints/packed_endpoints.ts";
import { relayedServiceOf } from "../../../backends/userspace/relayed_service.ts";
import { planOf } from "../plans.ts";

Deno.test("externalTrafficPolicy Local: outside goes to local endpoints, inside to all; the ClusterIP to all", () => {
  const plan = planOf({
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    external: "local",
    endpoints: ["10.1.0.1:80@here", "10.1.1.1:80"],
  });
  const service = relayedServiceOf(plan)!;
  assert.deepEqual(service.frontends.map(({ kind, inside, outside }) => [kind, inside, outside]), [
    ["ClusterIP", "cluster", "cluster"],
    ["NodePort", "cluster", "local"],
  ]);
  assert.deepEqual(service.cluster, packEndpoints(plan.clusterEndpoints));
  assert.deepEqual(service.local, packEndpoints(plan.localEndpoints));
});

Deno.test("without an endpoint on this node, the relay serves the node and its pods only", () => {
  const plan = planOf({ nodePort: 30080, external: "local", endpoints: ["10.1.1.1:80"] });
  const nodePort = relayedServiceOf(plan)?.frontends.find(({ kind }) => kind === "NodePort");
  assert.deepEqual([nodePort?.inside, nodePort?.outside], ["cluster", "none"]);
});

Deno.test("the relay does not know frontends that refuse connections, nor services of SCTP", () => {
  assert.equal(
    relayedServiceOf(planOf({ clusterIP: "10.96.0.10:80", internal: "reject", endpoints: [] })),
    undefined,
  );
  const sctp = planOf({ clusterIP: "10.96.0.10:80", protocol: "SCTP" });
  assert.equal(relayedServiceOf(sctp), undefined);
  assert.deepEqual(limitationsOf(sctp).map(({ cause }) => cause), ["sctp-not-relayed"]);
  assert.match(
    limitationsOf(sctp)[0]?.text ?? "",
    /rejects SCTP connections to 10\.96\.0\.10:80\/SCTP, because/,
  );
  assert.deepEqual(limitationsOf(planOf({ clusterIP: "10.96.0.10:80" })), []);
});

Deno.test("UDP flows may keep serving endpoints; a PROXY protocol header is for services that ask for it", () => {
  const udp = { ...planOf({ clusterIP: "10.96.0.10:53", protocol: "UDP" }) };
  const kept = { ...udp, servingEndpoints: udp.clusterEndpoints };
  assert.deepEqual(relayedServiceOf(kept)?.serving, packEndpoints(udp.clusterEndpoints));
  const tcp = planOf({ clusterIP: "10.96.0.10:80" });
  assert.equal(relayedServiceOf(tcp)?.proxyProtocol, false);
  assert.equal(relayedServiceOf({ ...tcp, proxyProtocol: true })?.proxyProtocol, true);
});
