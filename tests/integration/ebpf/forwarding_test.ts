import assert from "node:assert/strict";
import type { EbpfOptions } from "../../../backends/ebpf/options.ts";
import { FAMILIES, type Family } from "../../../core/net/protocol.ts";
import type { ServicePortPlan } from "../../../core/plan/plan.ts";
import { planOf, type PlanText } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { isNodeAddress, type MachineName, machines, servedPorts } from "../../lab/topology.ts";
import type { BackendProcess } from "../support/backend_process.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { labSettings } from "../support/lab_settings.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const SPOOF = new URL("./support/spoof.py", import.meta.url).pathname;
const NODE_PORT = 30080;
const CLUSTER_IP: Readonly<Record<Family, string>> = { IPv4: "10.96.0.10", IPv6: "fd00:96::10" };

const bracketed = (address: string) => address.includes(":") ? `[${address}]` : address;

/** A node whose packets for services are balanced, without sockets that are. */
class Node implements AsyncDisposable {
  readonly lab: Lab;
  readonly #mounts: PrivateMounts;
  #backend: BackendProcess | undefined;

  private constructor(lab: Lab, mounts: PrivateMounts) {
    this.lab = lab;
    this.#mounts = mounts;
  }

  static async make(): Promise<Node> {
    const mounts = await PrivateMounts.make();
    return new Node(await Lab.create(), mounts);
  }

  /** Starts the backend with other options. */
  async start(options: Partial<EbpfOptions>): Promise<BackendProcess> {
    await this.#backend?.[Symbol.asyncDispose]();
    return this.#backend = startEbpf({ name: this.lab.namespace("node") }, this.#mounts, options);
  }

  /** Programs a service of each protocol and family with these endpoints. */
  async program(endpoints: readonly MachineName[], text: PlanText = {}, localTraffic = true) {
    const plans: ServicePortPlan[] = [];
    for (const family of FAMILIES) {
      for (const protocol of ["TCP", "UDP"] as const) {
        const addresses = endpoints.map((name) =>
          `${bracketed(machines[name].addresses[family])}:${servedPorts[0]}`
        );
        const clusterIP = `${bracketed(CLUSTER_IP[family])}:80`;
        plans.push(
          planOf({ protocol, family, clusterIP, nodePort: NODE_PORT, endpoints: addresses, ...text }),
        );
      }
    }
    const settings = labSettings(localTraffic ? {} : { localTraffic: { mode: "none" } });
    return await this.#backend!.reconcile(plans, settings);
  }

  /** Replaces the rules on FORWARD. */
  async forwardRules(...rules: readonly string[]): Promise<void> {
    const table = [
      "table inet host {",
      "chain forward {",
      "type filter hook forward priority 0",
      ...rules,
      "}",
      "}",
    ].join("\n");
    await this.nft("table inet host", "delete table inet host", ...(rules.length === 0 ? [] : [table]));
  }

  async nft(...commands: readonly string[]): Promise<void> {
    const { stderr } = await this.lab.run("node", ["nft", commands.join("\n")]);
    assert.equal(stderr, "");
  }

  async connects(client: MachineName, to: "node port" | "ClusterIP", times = 4) {
    const sources = new Set<string>();
    for (const family of FAMILIES) {
      for (const protocol of ["TCP", "UDP"] as const) {
        const target = to === "node port"
          ? { to: machines.node.addresses[family], port: NODE_PORT }
          : { to: CLUSTER_IP[family], port: 80 };
        for (
          const outcome of await this.lab.agent(client).probe({ protocol, ...target }, {
            times,
            from: machines[client].addresses[family],
          })
        ) {
          assert(isAnswered(outcome), JSON.stringify({ client, protocol, ...target, outcome }));
          sources.add(outcome.source);
        }
      }
    }
    return sources;
  }

  async isBlocked(client: MachineName): Promise<void> {
    for (const family of FAMILIES) {
      const target = { to: machines.node.addresses[family], port: NODE_PORT };
      for (const protocol of ["TCP", "UDP"] as const) {
        const outcomes = await this.lab.agent(client).probe({ protocol, ...target }, {
          timeoutMs: 700,
          from: machines[client].addresses[family],
        });
        assert(outcomes.every((outcome) => !isAnswered(outcome)), JSON.stringify(outcomes));
      }
    }
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#backend?.[Symbol.asyncDispose]();
    await this.lab[Symbol.asyncDispose]();
    await this.#mounts[Symbol.asyncDispose]();
  }
}

/** Drops what the client outside sends to a pod: the addresses of a policy. */
const dropToPod = (pod: MachineName) => [
  `ip saddr ${machines.outside.addresses.IPv4} ip daddr ${machines[pod].addresses.IPv4} drop`,
  `ip6 saddr ${machines.outside.addresses.IPv6} ip6 daddr ${machines[pod].addresses.IPv6} drop`,
];

Deno.test("the way of packets for services to their endpoint", async (t) => {
  await using node = await Node.make();
  const { lab } = node;
  const here = machines.node.addresses;

  await t.step("direct: rules on FORWARD do not apply", async () => {
    await node.start({ forwarding: "direct" });
    await node.program(["pod-a"]);
    await node.forwardRules(...dropToPod("pod-a"));
    await node.connects("outside", "node port");
  });

  await t.step(
    "stack: rules on FORWARD see client and endpoint, and apply at once to flows that exist",
    async () => {
      await node.start({ forwarding: "stack" });
      await node.program(["pod-a"]);
      await node.isBlocked("outside");
      await node.forwardRules(...dropToPod("pod-b"));
      for (const source of await node.connects("outside", "node port")) {
        assert(isNodeAddress(source), source);
      }
    },
  );

  await t.step("stack: to pods here and elsewhere, masqueraded or not", async () => {
    await node.program(["pod-a", "pod-c", "pod-d"]);
    await node.connects("outside", "node port", 30);
    await node.program(["pod-d"]);
    assert.deepEqual(
      await node.connects("pod-a", "ClusterIP"),
      new Set(Object.values(machines["pod-a"].addresses)),
    );
    await node.program(["pod-a"]);
    await node.connects("pod-a", "ClusterIP");
  });

  await t.step("stack: a stateful policy accepts replies", async () => {
    await node.program(["pod-c", "pod-d"]);
    await node.forwardRules(
      "ct state established,related accept",
      `ip saddr ${machines.outside.addresses.IPv4} accept`,
      `ip6 saddr ${machines.outside.addresses.IPv6} accept`,
      "icmpv6 type { nd-neighbor-solicit, nd-neighbor-advert } accept",
      "drop",
    );
    await node.connects("outside", "node port", 10);
    // Netfilter tracks packets from a bridge as they arrive, before the programs translate them.
    const trackBridges = (isOn: 0 | 1) =>
      lab.run("node", [
        ...["sysctl", "-qw", `net.bridge.bridge-nf-call-iptables=${isOn}`],
        `net.bridge.bridge-nf-call-ip6tables=${isOn}`,
      ]);
    await trackBridges(1);
    // Both, because the bridge has the link address of the device of one of them, where frames count as for the node.
    await node.program(["pod-a", "pod-b"]);
    await node.connects("outside", "node port", 10);
    await trackBridges(0);
    await node.forwardRules();
  });

  await t.step("stack: connections that netfilter masquerades, too", async () => {
    await node.program(["pod-c", "pod-d"]);
    await node.nft(
      "table inet host {\nchain nat {\ntype nat hook postrouting priority 100\noifname { eth0, pods-c } masquerade\n}\n}",
    );
    await node.connects("outside", "node port", 10);
    await node.forwardRules();
  });

  await t.step("stack: an endpoint that FORWARD rejects", async () => {
    await node.program(["pod-a"]);
    await node.forwardRules("meta l4proto { tcp, udp } reject");
    for (const family of FAMILIES) {
      const target = { to: here[family], port: NODE_PORT };
      const [outcome] = await lab.agent("outside").probe({ protocol: "UDP", ...target });
      assert(outcome !== undefined && !isAnswered(outcome));
      assert.equal(outcome.outcome, "refused");
    }
    await node.forwardRules();
  });

  await t.step(
    "an endpoint on the node itself, for a client that uses one port for two services",
    async () => {
      for (const forwarding of ["direct", "stack"] as const) {
        await node.start({ forwarding });
        await node.program(["node"]);
        for (const family of FAMILIES) {
          const from = { from: machines["pod-c"].addresses[family], fromPort: 15000, keep: true } as const;
          const targets = [{ to: CLUSTER_IP[family], port: 80 }, { to: here[family], port: NODE_PORT }];
          const outcomes = [];
          for (const target of targets) {
            outcomes.push(...await lab.agent("pod-c").probe({ protocol: "TCP", ...target }, from));
          }
          const answers = outcomes.filter(isAnswered);
          assert.deepEqual(answers.map(({ pod }) => pod), ["node", "node"], JSON.stringify(outcomes));
          const [first, second] = answers;
          assert(first!.sourcePort === 15000 && second!.sourcePort !== 15000, JSON.stringify(answers));
          await lab.agent("pod-c").close(answers.map(({ connection }) => connection!));
        }
      }
    },
  );

  await t.step("auto: through the stack as soon as there is a policy engine, and no longer", async () => {
    const backend = await node.start({ forwarding: "auto" });
    const isThroughStack = async () =>
      (await backend.metrics()).find(({ name }) => name === "ebpf_forward_through_stack")?.samples[0]?.value;
    await node.program(["pod-a"]);
    assert.equal(await isThroughStack(), 0);
    await node.forwardRules(...dropToPod("pod-a"));
    await node.connects("outside", "node port");
    await lab.run("node", ["iptables-nft", "-N", "cali-FORWARD"]);
    const { warnings } = await node.program(["pod-a"]);
    assert.match(warnings?.join() ?? "", /^Calico implements network policies with rules on FORWARD/);
    assert.equal(await isThroughStack(), 1);
    await node.isBlocked("outside");
    await lab.run("node", ["iptables-nft", "-X", "cali-FORWARD"]);
    await lab.run("node", ["iptables-legacy", "-N", "KUBE-ROUTER-FORWARD"]);
    assert.match((await node.program(["pod-a"])).warnings?.join() ?? "", /^kube-router implements/);
    await lab.run("node", ["iptables-legacy", "-X", "KUBE-ROUTER-FORWARD"]);
    await node.program(["pod-a"]);
    assert.equal(await isThroughStack(), 0);
    await node.connects("outside", "node port");
    await node.forwardRules("policy drop");
    assert.match(
      (await node.program(["pod-a"])).warnings?.join() ?? "",
      /^chain inet host forward drops what it does not accept/,
    );
    await node.forwardRules();
  });

  await t.step(
    "auto: through the stack as long as there are policies of IPsec for what it forwards",
    async () => {
      const xfrm = (...args: readonly string[]) => lab.run("node", ["ip", "xfrm", "policy", ...args]);
      const pair = ["src", machines.outside.addresses.IPv4, "dst", machines["pod-a"].addresses.IPv4];
      const warnings = async () => (await node.program(["pod-a"])).warnings?.join() ?? "";
      // A policy that lets packets pass as they are, and one for packets of a device.
      await xfrm("add", ...pair, "dir", "out", "action", "allow");
      await xfrm("add", ...pair, "dir", "out", "action", "block", "if_id", "7");
      assert.equal(await warnings(), "");
      await xfrm("add", ...pair, "dir", "fwd", "action", "block");
      assert.match(await warnings(), /^this node has policies of IPsec \(ip xfrm policy\), so packets/);
      await node.forwardRules("policy drop");
      // Packets pass such a chain, too.
      assert.doesNotMatch(await warnings(), /do not pass it/);
      await node.forwardRules();
      const [outcome] = await lab.agent("outside").probe(
        { protocol: "TCP", to: here.IPv4, port: NODE_PORT },
        {
          timeoutMs: 700,
        },
      );
      assert(outcome !== undefined && !isAnswered(outcome), JSON.stringify(outcome));
      await node.start({ forwarding: "direct" });
      assert.match(await warnings(), /^policies of IPsec \(ip xfrm policy\) do not apply to connections/);
      await node.connects("outside", "node port");
      await xfrm("flush");
      await node.start({ forwarding: "auto" });
      assert.equal(await warnings(), "");
    },
  );

  await t.step("rp_filter: a source that is reached by another device is dropped", async () => {
    await node.program(["pod-d"], {}, false);
    const received = async (strictness: string) => {
      for (const name of ["all", "pods-c"]) {
        await lab.run("node", [
          "sysctl",
          "-qw",
          `net.ipv4.conf.${name}.rp_filter=${name === "all" ? "0" : strictness}`,
        ]);
      }
      // The proxy reads the setting after a notification of the kernel.
      await new Promise((resolve) => setTimeout(resolve, 200));
      const rules = `table ip seen
        delete table ip seen
        table ip seen {
          counter forged { }
          chain in {
            type filter hook prerouting priority -300
            ip saddr ${machines["pod-a"].addresses.IPv4} udp dport ${servedPorts[0]} counter name forged
          }
        }`;
      assert.equal((await lab.run("elsewhere", ["nft", rules])).stderr, "");
      const { stderr } = await lab.run("pod-c", [
        "python3",
        SPOOF,
        machines["pod-a"].addresses.IPv4,
        // Other flows each time.
        `4${strictness}000`,
        CLUSTER_IP.IPv4,
        "80",
        "10",
      ]);
      assert.equal(stderr, "");
      await new Promise((resolve) => setTimeout(resolve, 200));
      const { stdout } = await lab.run("elsewhere", ["nft", "list counter ip seen forged"]);
      return Number(/packets (\d+)/.exec(stdout)?.[1]);
    };
    assert.equal(await received("0"), 10);
    assert.equal(await received("1"), 0);
    // Loose: any device.
    assert.equal(await received("2"), 10);
    await lab.run("node", ["sysctl", "-qw", "net.ipv4.conf.pods-c.rp_filter=1"]);
    await node.connects("pod-c", "ClusterIP");
  });

  await t.step("two ports of one bridge, which reach each other directly", async () => {
    const pair: readonly (readonly [MachineName, MachineName])[] = [["pod-a", "pod-b"], ["pod-b", "pod-a"]];
    for (const [pod, other] of pair) {
      for (const family of FAMILIES) {
        const to = `${machines[other].addresses[family]}/${family === "IPv4" ? 32 : 128}`;
        await lab.run(pod, ["ip", "route", "add", to, "dev", "eth0"]);
      }
    }
    await node.program(["pod-b"], {}, false);
    await node.connects("pod-a", "ClusterIP");
    await node.start({ forwarding: "stack" });
    await node.program(["pod-b"], {}, false);
    await node.connects("pod-a", "ClusterIP");
  });

  await t.step("a device with two addresses: masqueraded with that of the next hop's network", async () => {
    await node.start({ forwarding: "direct" });
    const swap = `routes=$(ip -4 route show dev eth0 | grep via)
      ip address delete ${here.IPv4}/24 dev eth0
      ip address add 100.64.7.7/24 dev eth0
      ip address add ${here.IPv4}/24 dev eth0
      echo "$routes" | while read route; do ip route replace $route dev eth0; done`;
    const { stderr } = await lab.run("node", ["sh", "-ec", swap]);
    assert.equal(stderr, "");
    await node.program(["pod-d"]);
    await node.connects("outside", "node port", 10);
  });
});
