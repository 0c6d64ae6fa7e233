import assert from "node:assert/strict";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import { cidrOf, planOf, settingsOf } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { type MachineName, machines, podCidrs, serviceAddress, serviceRanges } from "../../lab/topology.ts";
import { TablesProcess } from "./support/tables_process.ts";

/** Port of every service, and a port that only a program on the node serves. */
const SERVICE_PORT = 9000;
const HOST_PORT = 9001;

/**
 * Does not need IPVS in the kernel: packets that pass our rules reach a program on the node that listens on all
 * addresses in place of the virtual server.
 */
Deno.test("the rules of mode ipvs accept the traffic of services, and nothing else", async () => {
  await using lab = await Lab.create();
  await using _listener = await listen(lab);
  await bindServiceAddresses(lab);
  await translateOutput(lab);
  await new TablesProcess({ name: lab.namespace("node") }).write({
    settings: FAMILIES.map((family) =>
      settingsOf(family, {
        localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
        serviceCidrs: [cidrOf(serviceRanges.clusterIP[family])],
        nodePorts: [],
      })
    ),
    plans: FAMILIES.flatMap(plansOf),
  });

  for (const family of FAMILIES) {
    const clusterIP = serviceAddress("clusterIP", family, 10);
    const balancer = (n: number) => serviceAddress("loadBalancer", family, n);
    const node = machines.node.addresses[family];
    const everywhere: readonly MachineName[] = ["pod-a", "node", "outside"];
    const rows: readonly (readonly [what: string, readonly MachineName[], string, number, Answer])[] = [
      ["a ClusterIP", everywhere, clusterIP, SERVICE_PORT, "let in"],
      ["a program of the node, at a ClusterIP", everywhere, clusterIP, HOST_PORT, "refused"],
      ["a program of the node, at the node", everywhere, node, HOST_PORT, "let in"],
      [
        "a ClusterIP without endpoints here",
        everywhere,
        serviceAddress("clusterIP", family, 11),
        SERVICE_PORT,
        "timeout",
      ],
      ["a load balancer, in its ranges", ["outside"], balancer(10), SERVICE_PORT, "let in"],
      ["a load balancer, outside its ranges", ["stranger"], balancer(10), SERVICE_PORT, "timeout"],
      ["policy Local, none here, outside", ["outside"], balancer(11), SERVICE_PORT, "timeout"],
      ["policy Local, none here, at home", ["pod-a", "node"], balancer(11), SERVICE_PORT, "let in"],
      ["the health of a service", ["outside"], balancer(11), HOST_PORT, "let in"],
      ["the health of a service that has no check", ["outside"], balancer(10), HOST_PORT, "refused"],
    ];
    for (const [what, clients, to, port, expected] of rows) {
      for (const client of clients) {
        assert.equal(
          await ask(lab, family, client, to, port, expected === "timeout" ? 400 : 3000 * slowness),
          expected,
          `${family} ${what}, from ${client} to ${to} port ${port}`,
        );
      }
    }
  }
});

type Answer = "let in" | "refused" | "timeout";

async function ask(
  lab: Lab,
  family: Family,
  client: MachineName,
  to: string,
  port: number,
  timeoutMs: number,
): Promise<string> {
  // Needed where two machines share a namespace. The node's own choice of source address is part of the test.
  const from = client === "node" ? {} : { from: machines[client].addresses[family] };
  const [outcome] = await lab.agent(client).probe({ protocol: "TCP", to, port }, { ...from, timeoutMs });
  if (outcome === undefined) return "nothing";
  return isAnswered(outcome) ? "let in" : outcome.outcome;
}

function plansOf(family: Family) {
  const socket = (address: string) =>
    family === "IPv4" ? `${address}:${SERVICE_PORT}` : `[${address}]:${SERVICE_PORT}`;
  const [here, elsewhere] = [
    `${socket(machines["pod-a"].addresses[family])}@here`,
    socket(machines["pod-d"].addresses[family]),
  ];
  const client = machines.outside.addresses[family];
  return [
    planOf({
      name: "plain",
      clusterIP: socket(serviceAddress("clusterIP", family, 10)),
      loadBalancerIPs: [socket(serviceAddress("loadBalancer", family, 10))],
      endpoints: [here, elsewhere],
      sourceRanges: [family === "IPv4" ? `${client}/32` : `${client}/128`],
    }),
    planOf({
      name: "elsewhere",
      clusterIP: socket(serviceAddress("clusterIP", family, 11)),
      loadBalancerIPs: [socket(serviceAddress("loadBalancer", family, 11))],
      internal: "drop",
      external: "local",
      endpoints: [elsewhere],
      healthCheckNodePort: HOST_PORT,
    }),
  ];
}

async function listen(lab: Lab): Promise<AsyncDisposable> {
  const listener = await lab.serveOnAllAddresses("node", [SERVICE_PORT, HOST_PORT]);
  return { [Symbol.asyncDispose]: () => listener.stop() };
}

/**
 * Addresses as on the device of mode ipvs, but on another kind of device, because the kernel may lack dummy devices.
 */
async function bindServiceAddresses(lab: Lab): Promise<void> {
  const addresses = FAMILIES.flatMap((family) =>
    (["clusterIP", "loadBalancer"] as const).flatMap((range) =>
      [10, 11].map((n) => serviceAddress(range, family, n))
    )
  );
  const commands = [
    "ip link add kube-ipvs0 type bridge",
    ...addresses.map((address) =>
      `ip address add ${address}/${address.includes(":") ? "128 nodad" : "32"} dev kube-ipvs0`
    ),
    "ip link set kube-ipvs0 up",
  ];
  const { code, stderr } = await lab.run("node", ["sh", "-ec", commands.join("\n")]);
  assert.equal(code, 0, stderr);
}

/** Keeps the node's own packets to a service address from reaching the input hook, as IPVS does in output. */
async function translateOutput(lab: Lab): Promise<void> {
  const { IPv4, IPv6 } = machines.node.addresses;
  const rules = `table inet stand-in {
    chain output {
      type nat hook output priority -99
      ip daddr { ${serviceRanges.clusterIP.IPv4}, ${serviceRanges.loadBalancer.IPv4} } dnat ip to ${IPv4}
      ip6 daddr { ${serviceRanges.clusterIP.IPv6}, ${serviceRanges.loadBalancer.IPv6} } dnat ip6 to ${IPv6}
    }
  }`;
  const file = `${lab.directory}/stand-in.nft`;
  await Deno.writeTextFile(file, rules);
  const { code, stderr } = await lab.run("node", ["nft", "-f", file]);
  assert.equal(code, 0, stderr);
}
