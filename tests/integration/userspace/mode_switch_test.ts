import assert from "node:assert/strict";
import type { ProxyMode } from "../../../backends/registry.ts";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import type { Target } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { type MachineName, machines, serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { webObjects } from "../support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const NODE_PORT = 30080;

/** Clients of the service, and the ways in which they reach it. */
const ROUTES: readonly (readonly [MachineName, Target])[] = [
  ["outside", web],
  ["outside", { ...web, to: machines.node.addresses.IPv4, port: NODE_PORT }],
  ["pod-c", web],
];

for (const other of ["nftables", "iptables", "ebpf"] as const) {
  Deno.test(`a switch from mode ${other} to mode userspace keeps all connections, and none fails meanwhile; the way back leaves nothing`, async () => {
    await using lab = await Lab.create(true);
    const manifests = await publish(lab);
    const start = (mode: ProxyMode) => new ProxyProcess(lab, manifests, mode, ebpfFlags(lab.ebpfMounts));
    let proxy = start(other);
    try {
      await cleanedUp(proxy, "userspace");
      await answered(lab.agent("outside"), web);
      const connections = await Promise.all(
        ROUTES.map(([client, target]) => ConnectionsDuringSwitch.start(lab, target, client)),
      );
      await proxy.stop("SIGKILL");
      proxy = start("userspace");
      await cleanedUp(proxy, other);
      await Promise.all(connections.map((one) => one.mustHaveSurvived(`from mode ${other}`)));
      assert.match(await tables(lab), /^table ip kube-proxy-userspace$/m);

      await proxy.stop();
      proxy = start(other);
      await cleanedUp(proxy, "userspace");
      for (const [client, target] of ROUTES) await answered(lab.agent(client), target);
      assert.doesNotMatch(await tables(lab), /userspace/);
    } finally {
      await proxy.stop();
    }
  });
}

async function publish(lab: Lab): Promise<string> {
  const directory = `${lab.directory}/manifests`;
  await Deno.mkdir(directory);
  const items = webObjects("web", web.to, {
    type: "NodePort",
    ports: [{ port: web.port, nodePort: NODE_PORT }],
  });
  await Deno.writeTextFile(
    `${directory}/web.json`,
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
  return directory;
}

async function tables(lab: Lab): Promise<string> {
  return (await lab.run("node", ["nft", "list", "tables"])).stdout;
}

/** Waits until the proxy logs that no rules of the other mode are left. */
async function cleanedUp(proxy: ProxyProcess, mode: string): Promise<void> {
  const deadline = performance.now() + 60_000 * slowness;
  while (!proxy.log.includes(`"No rules of another mode remain" mode="${mode}"`)) {
    assert.ok(performance.now() < deadline, `mode ${mode} was not cleaned up:\n${proxy.log.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
