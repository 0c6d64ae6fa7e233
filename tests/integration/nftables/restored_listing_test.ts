import assert from "node:assert/strict";
import type { Family } from "../../../core/net/protocol.ts";
import { isAnswered, type Outcome } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { type MachineName, machines, podCidrs, serviceAddress } from "../../lab/topology.ts";
import { cidrOf, planOf, settingsOf } from "../../backends/plans.ts";
import { BackendProcess } from "../support/backend_process.ts";

Deno.test("a saved listing, loaded with stock nft on a node without rules, forwards the same connections", async () => {
  await using lab = await Lab.create();
  const plans = (["IPv4", "IPv6"] as const).flatMap(plansOf);
  const settings = (["IPv4", "IPv6"] as const).map((family) =>
    settingsOf(family, {
      localTraffic: { mode: "cidr", cidr: cidrOf(podCidrs.here[family]) },
      serviceCidrs: [],
    })
  );
  const saved = `${lab.directory}/saved.nft`;
  const nft = async (...args: readonly string[]) => {
    const { code, stdout, stderr } = await lab.run("node", ["nft", ...args]);
    assert.equal(code, 0, stderr);
    return stdout;
  };
  {
    await using backend = new BackendProcess("nftables", { name: lab.namespace("node") });
    await backend.reconcile(plans, settings);
  }
  const programmed = await whoAnswers(lab);
  const listings = [
    await nft("list", "table", "ip", "kube-proxy"),
    await nft("list", "table", "ip6", "kube-proxy"),
  ];
  await Deno.writeTextFile(saved, listings.join("\n"));

  await nft("flush", "ruleset");
  await lab.run("node", ["conntrack", "-F"]);
  await nft("-f", saved);
  assert.deepEqual(await whoAnswers(lab), programmed);
  for (const [probe, answers] of Object.entries(programmed)) {
    const denied = probe.includes("stranger") && probe.includes("load balancer") ||
      probe.includes("no endpoints");
    assert.equal(answers.some((answer) => answer.startsWith("pod-")), !denied, `${probe}: ${answers}`);
  }
});

function plansOf(family: Family) {
  const socket = (address: string, port: number) =>
    family === "IPv4" ? `${address}:${port}` : `[${address}]:${port}`;
  const pod = (name: "pod-a" | "pod-b" | "pod-d") =>
    socket(machines[name].addresses[family], 8080) + (name === "pod-d" ? "" : "@here");
  const client = machines.outside.addresses[family];
  return [
    planOf({
      name: "plain",
      clusterIP: socket(serviceAddress("clusterIP", family, 10), 80),
      externalIPs: [socket(serviceAddress("external", family, 10), 80)],
      loadBalancerIPs: [socket(serviceAddress("loadBalancer", family, 10), 80)],
      nodePort: 30080,
      endpoints: [pod("pod-a"), pod("pod-b"), pod("pod-d")],
      sourceRanges: [family === "IPv4" ? `${client}/32` : `${client}/128`],
    }),
    planOf({
      name: "local",
      family,
      nodePort: 30081,
      external: "local",
      endpoints: [pod("pod-a"), pod("pod-d")],
    }),
    planOf({
      name: "sticky",
      clusterIP: socket(serviceAddress("clusterIP", family, 11), 80),
      affinitySeconds: 3600,
      endpoints: [pod("pod-a"), pod("pod-b")],
    }),
    planOf({
      name: "none",
      clusterIP: socket(serviceAddress("clusterIP", family, 12), 80),
      internal: "reject",
      external: "reject",
      endpoints: [],
    }),
    // So many addresses that they share an endpoint list.
    planOf({
      name: "many",
      externalIPs: many((n) => socket(serviceAddress("external", family, 20 + n), 80)),
      endpoints: [pod("pod-a"), pod("pod-b"), pod("pod-d")],
    }),
    planOf({
      name: "many-local",
      externalIPs: many((n) => socket(serviceAddress("external", family, 30 + n), 80)),
      external: "local",
      endpoints: [pod("pod-a"), pod("pod-d")],
    }),
    planOf({
      name: "many-none",
      externalIPs: many((n) => socket(serviceAddress("external", family, 40 + n), 80)),
      external: "reject",
      endpoints: [],
    }),
  ];
}

function many(socketOf: (n: number) => string): readonly string[] {
  return Array.from({ length: 9 }, (_, n) => socketOf(n));
}

/** The endpoints that answer on each kind of frontend, and whether they see the client's address. */
async function whoAnswers(lab: Lab): Promise<Record<string, string[]>> {
  const answers: Record<string, string[]> = {};
  for (const family of ["IPv4", "IPv6"] as const) {
    const node = machines.node.addresses[family];
    const probes: readonly (readonly [what: string, from: MachineName, to: string, port: number])[] = [
      ["ClusterIP", "pod-c", serviceAddress("clusterIP", family, 10), 80],
      ["ClusterIP", "node", serviceAddress("clusterIP", family, 10), 80],
      ["external IP", "outside", serviceAddress("external", family, 10), 80],
      ["load balancer", "outside", serviceAddress("loadBalancer", family, 10), 80],
      ["load balancer", "stranger", serviceAddress("loadBalancer", family, 10), 80],
      ["node port", "outside", node, 30080],
      ["local node port", "outside", node, 30081],
      ["no endpoints", "pod-c", serviceAddress("clusterIP", family, 12), 80],
      ["one of many external IPs", "outside", serviceAddress("external", family, 28), 80],
      ["one of many local external IPs", "outside", serviceAddress("external", family, 38), 80],
      ["one of many local external IPs", "pod-c", serviceAddress("external", family, 38), 80],
      ["one of many external IPs with no endpoints", "pod-c", serviceAddress("external", family, 48), 80],
    ];
    for (const [what, from, to, port] of probes) {
      // Explicit, because two machines share a namespace.
      const client = machines[from].addresses[family];
      const options = { from: client, times: from === "stranger" ? 2 : 40, timeoutMs: 500 };
      const outcomes = await lab.agent(from).probe({ protocol: "TCP", to, port }, options);
      answers[`${family} ${what} from ${from}`] = distinct(outcomes, client);
    }
    const target = { protocol: "TCP", to: serviceAddress("clusterIP", family, 11), port: 80 } as const;
    const sticky = distinct(
      await lab.agent("pod-c").probe(target, { times: 20 }),
      machines["pod-c"].addresses[family],
    );
    // Either of the two may answer, but always the same one.
    answers[`${family} affinity from pod-c`] = sticky.map((answer) => answer.replace(/pod-[ab]/, "pod-?"));
    assert.equal(sticky.length, 1, `affinity: ${sticky}`);
  }
  return answers;
}

function distinct(outcomes: readonly Outcome[], client: string): string[] {
  const answers = outcomes.map((outcome) =>
    isAnswered(outcome)
      ? `${outcome.pod} ${outcome.source === client ? "sees the client" : "sees the node"}`
      : outcome.outcome
  );
  return [...new Set(answers)].sort();
}
