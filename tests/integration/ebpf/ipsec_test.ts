import assert from "node:assert/strict";
import { addressOf, planOf, settingsOf } from "../../backends/plans.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { machines, podCidrs, servedPorts } from "../../lab/topology.ts";
import { startEbpf } from "../support/ebpf_process.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

/** Encapsulates, and encrypts nothing. */
const PROTECTION = ["auth", "digest_null", "", "enc", "ecb(cipher_null)", ""];

const hasEsp = new Deno.Command("unshare", {
  args: [
    ...["--net", "ip", "xfrm", "state", "add", "src", "192.0.2.1", "dst", "192.0.2.2", "proto", "esp"],
    ...["spi", "1", "mode", "tunnel", ...PROTECTION],
  ],
  stderr: "null",
}).outputSync().success;

// The kernel of the build machines has no ESP; those of the virtual machines (scripts/vm.sh) do.
Deno.test(
  "connections through policies of IPsec between the pods of two nodes",
  { ignore: !hasEsp },
  async (t) => {
    await using mounts = await PrivateMounts.make();
    await using lab = await Lab.create();
    const here = { machine: "node", pods: podCidrs.here } as const;
    const elsewhere = { machine: "elsewhere", pods: podCidrs.elsewhere } as const;
    for (const [from, to] of [[here, elsewhere], [elsewhere, here]] as const) {
      const ends = ["src", machines[from.machine].addresses.IPv4, "dst", machines[to.machine].addresses.IPv4];
      const outer = [...ends, "proto", "esp"];
      const inner = ["src", from.pods.IPv4, "dst", to.pods.IPv4];
      for (const { machine } of [here, elsewhere]) {
        const xfrm = (...command: readonly string[]) => lab.output(machine, "ip", "xfrm", ...command);
        await xfrm("state", "add", ...outer, "spi", "1", "mode", "tunnel", ...PROTECTION);
        const direction = machine === from.machine ? "out" : "fwd";
        await xfrm("policy", "add", ...inner, "dir", direction, "tmpl", ...outer, "mode", "tunnel");
      }
    }
    for (const [forwarding, arrives] of [["direct", false], ["auto", true]] as const) {
      await t.step(
        `--ebpf-forward=${forwarding}: they ${arrives ? "pass" : "leave past"} the policies`,
        async () => {
          await using backend = startEbpf({ name: lab.namespace("node") }, mounts, { forwarding });
          const endpoints = [`${machines["pod-d"].addresses.IPv4}:${servedPorts[0]}`];
          const { warnings } = await backend.reconcile(
            [planOf({ protocol: "TCP", family: "IPv4", clusterIP: "10.96.0.10:80", endpoints })],
            [settingsOf("IPv4", {
              interfaceAddresses: [addressOf(machines.node.addresses.IPv4)],
              localTraffic: { mode: "none" },
            })],
          );
          assert.match(warnings?.join() ?? "", /policies of IPsec/);
          const target = { protocol: "TCP", to: "10.96.0.10", port: 80 } as const;
          for (const outcome of await lab.agent("pod-c").probe(target, { times: 5, timeoutMs: 3000 })) {
            assert.equal(isAnswered(outcome), arrives, JSON.stringify(outcome));
            // The other node accepts from pods of this one only what arrives encapsulated.
            if (isAnswered(outcome)) assert.equal(outcome.source, machines["pod-c"].addresses.IPv4);
          }
        },
      );
    }
  },
);
