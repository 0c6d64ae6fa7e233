import assert from "node:assert/strict";
import { FAMILIES } from "../../../core/net/protocol.ts";
import { addressOf, planOf, settingsOf } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { type MachineName, machines, podCidrs, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const MODULES = ["ipip", "sit"] as const;

/** A tunnel device in a scratch network namespace shows whether the kernel has the module. */
const hasModules = MODULES.every((kind) => {
  const link = ["ip", "link", "add", "probe", "type", kind, "local", "192.0.2.1"];
  return new Deno.Command("unshare", { args: ["--net", ...link], stderr: "null" }).outputSync().success;
});

// The kernel of the build machines has no tunnels; those of the virtual machines (scripts/vm.sh) do.
Deno.test(
  "pods of another node behind a tunnel without a fixed far end",
  { ignore: !hasModules },
  async (t) => {
    await using mounts = await PrivateMounts.make();
    await using lab = await Lab.create();
    const { node, elsewhere } = machines;
    const addTunnels = async (on: MachineName) => {
      const local = machines[on].addresses.IPv4;
      for (const kind of MODULES) {
        await lab.output(on, "ip", "link", "add", `${kind}1`, "type", kind, "local", local);
        await lab.output(on, "ip", "link", "set", `${kind}1`, "up");
      }
    };
    await addTunnels("node");
    await addTunnels("elsewhere");
    // The far end is the next hop of the route, as with Calico.
    const far = elsewhere.addresses.IPv4;
    await lab.output(
      "node",
      "ip",
      "route",
      "replace",
      podCidrs.elsewhere.IPv4,
      "via",
      far,
      "dev",
      "ipip1",
      "onlink",
    );
    await lab.output(
      "node",
      "ip",
      "route",
      "replace",
      podCidrs.elsewhere.IPv6,
      "via",
      `::${far}`,
      "dev",
      "sit1",
    );

    for (const forwarding of ["direct", "stack"] as const) {
      await using backend = startEbpf({ name: lab.namespace("node") }, mounts, { forwarding });
      await backend.reconcile(
        FAMILIES.flatMap((family) => {
          const address = machines["pod-d"].addresses[family];
          const endpoints = [`${family === "IPv4" ? address : `[${address}]`}:${servedPorts[0]}`];
          return (["TCP", "UDP"] as const).map((protocol) =>
            planOf({ protocol, family, nodePort: 30080, endpoints })
          );
        }),
        FAMILIES.map((family) =>
          settingsOf(family, {
            interfaceAddresses: [addressOf(node.addresses[family])],
            localTraffic: { mode: "none" },
          })
        ),
      );
      for (const family of FAMILIES) {
        const device = family === "IPv4" ? "ipip1" : "sit1";
        for (const protocol of ["TCP", "UDP"] as const) {
          await t.step(`a node port, ${forwarding} (${protocol}, ${family})`, async () => {
            const before = await sent(lab, device);
            const target = { protocol, to: node.addresses[family], port: 30080 };
            for (const outcome of await lab.agent("outside").probe(target, { times: 5 })) {
              assert(isAnswered(outcome), JSON.stringify(outcome));
            }
            assert(await sent(lab, device) >= before + 5, "the packets take the tunnel");
          });
        }
      }
    }
  },
);

async function sent(lab: Lab, device: string): Promise<number> {
  const [link] = JSON.parse(
    await lab.output("node", "ip", "-json", "-statistics", "link", "show", device),
  );
  assert.equal(link.stats64.tx.errors, 0);
  return link.stats64.tx.packets;
}
