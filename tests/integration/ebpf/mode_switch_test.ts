import assert from "node:assert/strict";
import type { ProxyMode } from "../../../backends/registry.ts";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import type { Target } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { cleanedUp, ProxyProcess } from "../../lab/proxy.ts";
import { type MachineName, machines, serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { webObjects } from "../support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const local = { ...web, to: serviceAddress("clusterIP", "IPv4", 12) };
const node = { ...web, to: machines.node.addresses.IPv4 };
const NODE_PORT = 30080;
const LOCAL_NODE_PORT = 30081;

/** Clients of the services, and the ways in which they reach them. */
const ROUTES: readonly (readonly [MachineName, Target])[] = [
  ["outside", web],
  ["outside", { ...node, port: NODE_PORT }],
  ["outside", { ...node, port: LOCAL_NODE_PORT }],
  ["outside", { ...web, to: serviceAddress("loadBalancer", "IPv4", 11) }],
  /*
   * Its sockets are in the cgroup, but packets of older connections still carry the service's address. It has a device
   * of its own, because a pod does not reach itself through a bridge with br_netfilter.
   */
  ["pod-c", web],
];

/** Every change from one mode to another. */
const SEQUENCE = ["ebpf", "iptables", "nftables", "iptables", "ebpf", "nftables"] as const;

/** A base chain of another program, even an empty one, keeps connection tracking going. */
const FOREIGN = "add table ip cni; add chain ip cni out { type nat hook postrouting priority srcnat; }";

const CLEANED_UP_WITHIN_MS = 120_000 * slowness;

Deno.test("every switch of the mode keeps all connections, and none fails meanwhile", async (t) => {
  await using lab = await Lab.create(true);
  const manifests = await publish(lab);
  const start = (mode: ProxyMode) => new ProxyProcess(lab, manifests, mode, ebpfFlags(lab.ebpfMounts));
  let previous: ProxyMode = "nftables";
  let proxy = start(previous);
  try {
    await answered(lab.agent("outside"), web);
    await cleanedUp(proxy, "ebpf", CLEANED_UP_WITHIN_MS);
    for (const situation of ["alone", "with a NAT chain of another program and br_netfilter"]) {
      if (situation !== "alone") await addForeignChain(lab);
      for (const mode of SEQUENCE) {
        const last = previous;
        const name = `from ${last} to ${mode}, ${situation}`;
        await t.step(name, async () => {
          const connections = await Promise.all(
            ROUTES.map(([client, target]) => ConnectionsDuringSwitch.start(lab, target, client)),
          );
          await proxy.stop("SIGKILL");
          proxy = start(mode);
          await cleanedUp(proxy, last, CLEANED_UP_WITHIN_MS);
          await Promise.all(connections.map((one) => one.mustHaveSurvived(name)));
        });
        previous = mode;
      }
    }
    await t.step("the table that lets netfilter translate older connections goes with them", async () => {
      await proxy.stop();
      proxy = start("ebpf");
      await cleanedUp(proxy, previous, CLEANED_UP_WITHIN_MS);
      assert.equal(await tables(lab), "table ip cni\ntable ip proxy-ebpf\n");
      await lab.run("node", ["conntrack", "--flush"]);
      await proxy.stop();
      proxy = start("ebpf");
      await cleanedUp(proxy, previous, CLEANED_UP_WITHIN_MS);
      assert.equal(await tables(lab), "table ip cni\n");
    });
  } finally {
    await proxy.stop();
  }
});

async function publish(lab: Lab): Promise<string> {
  const directory = `${lab.directory}/manifests`;
  await Deno.mkdir(directory);
  const items = [
    ...webObjects("web", web.to, {
      type: "LoadBalancer",
      ports: [{ port: web.port, nodePort: NODE_PORT }],
    }, [serviceAddress("loadBalancer", "IPv4", 11)]),
    ...webObjects("local", local.to, {
      type: "NodePort",
      externalTrafficPolicy: "Local",
      ports: [{ port: local.port, nodePort: LOCAL_NODE_PORT }],
    }),
  ];
  await Deno.writeTextFile(
    `${directory}/web.json`,
    JSON.stringify({ apiVersion: "v1", kind: "List", items }),
  );
  return directory;
}

async function addForeignChain(lab: Lab): Promise<void> {
  for (
    const command of [["nft", FOREIGN], ["sysctl", "-qew", "net.bridge.bridge-nf-call-iptables=1"]]
  ) {
    const { stderr } = await lab.run("node", command);
    assert.equal(stderr, "");
  }
}

async function tables(lab: Lab): Promise<string> {
  const { stdout } = await lab.run("node", ["nft", "list", "tables"]);
  return stdout.split("\n").filter((line) => !/ (filter|nat|mangle)$/.test(line)).toSorted().join("\n")
    .trimStart() +
    "\n";
}
