import assert from "node:assert/strict";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { machines, servedPorts, serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { webObjects } from "../support/web_objects.ts";
import { hasIpvs, missingIpvs } from "./support/has_ipvs.ts";

const NODE_PORTS = [30080, 30081, 30082, 30083];
const OTHER_PORTS = [29080, 29081, 29082, 29083];
const node = machines.node.addresses.IPv4;

/** A limit of mode ipvs, which docs/ipvs.md describes. If this fails, the kernel has become better. */
Deno.test({
  name: `IPVS takes the answers to connections of the node from a port that is a node port${missingIpvs}`,
  ignore: !hasIpvs(),
  async fn() {
    await using lab = await Lab.create();
    const manifests = `${lab.directory}/manifests`;
    await Deno.mkdir(manifests);
    const items = NODE_PORTS.flatMap((nodePort, index) =>
      webObjects(`web-${index}`, serviceAddress("clusterIP", "IPv4", 11 + index), {
        type: "NodePort",
        ports: [{ port: 80, nodePort }],
      })
    );
    await Deno.writeTextFile(
      `${manifests}/web.json`,
      JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    );
    await using _proxy = new ProxyProcess(lab, manifests, "ipvs", ["--nodeport-addresses=192.168.8.0/24"]);
    for (const port of NODE_PORTS) await answered(lab.agent("outside"), { protocol: "TCP", to: node, port });
    assert.equal(await answeredFrom(lab, NODE_PORTS), 0);
    assert.equal(await answeredFrom(lab, OTHER_PORTS), OTHER_PORTS.length * servedPorts.length);
  },
});

/** Connects from each port of the node to each port of a server. @returns the number of answers. */
async function answeredFrom(lab: Lab, ports: readonly number[]): Promise<number> {
  const attempts = ports.flatMap((fromPort) =>
    servedPorts.map((port) => {
      const target = { protocol: "TCP", to: machines.outside.addresses.IPv4, port } as const;
      return lab.agent("node").probe(target, { from: node, fromPort });
    })
  );
  return (await Promise.all(attempts)).flat().filter(isAnswered).length;
}
