import assert from "node:assert/strict";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { webObjects } from "../support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

Deno.test("connections from outside survive switches to mode ebpf and back", async (t) => {
  await using lab = await Lab.create(true);
  const manifests = `${lab.directory}/manifests`;
  await Deno.mkdir(manifests);
  const list = { apiVersion: "v1", kind: "List", items: webObjects("web", web.to) };
  await Deno.writeTextFile(`${manifests}/web.json`, JSON.stringify(list));
  const start = (mode: string) => new ProxyProcess(lab, manifests, mode, ebpfFlags(lab.ebpfMounts));
  let proxy = start("nftables");
  try {
    await answered(lab.agent("outside"), web);
    await cleanedUp(proxy, "ebpf");
    let previous = "nftables";
    for (const mode of ["ebpf", "nftables", "ebpf", "iptables", "ebpf"]) {
      const last = previous;
      await t.step(`from ${last} to ${mode}`, async () => {
        const connections = await ConnectionsDuringSwitch.start(lab, web);
        await proxy.stop("SIGKILL");
        proxy = start(mode);
        await cleanedUp(proxy, last);
        await connections.mustHaveSurvived(`the switch from ${last} to ${mode}`);
      });
      previous = mode;
    }
    await t.step("the table that lets netfilter translate older connections goes with them", async () => {
      assert.equal(await tables(lab), "table ip proxy-ebpf\n");
      await lab.run("node", ["conntrack", "--flush"]);
      await proxy.stop();
      proxy = start("ebpf");
      await cleanedUp(proxy, "nftables");
      assert.equal(await tables(lab), "");
    });
  } finally {
    await proxy.stop();
  }
});

async function tables(lab: Lab): Promise<string> {
  const { stdout } = await lab.run("node", ["nft", "list", "tables"]);
  return stdout.split("\n").filter((line) => !/ (filter|nat|mangle)$/.test(line)).join("\n");
}

/** Waits until the proxy logs that no rules of the other mode are left. */
async function cleanedUp(proxy: ProxyProcess, mode: string): Promise<void> {
  const deadline = performance.now() + 120_000 * slowness;
  while (!proxy.log.includes(`"No rules of another mode remain" mode="${mode}"`)) {
    assert.ok(performance.now() < deadline, `mode ${mode} was not cleaned up:\n${proxy.log.slice(-2000)}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}
