import assert from "node:assert/strict";
import { Lab } from "../lab/lab.ts";
import { cleanedUp, proxyBinary, ProxyProcess } from "../lab/proxy.ts";
import { serviceAddress } from "../lab/topology.ts";
import { answered } from "../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "./support/connections_during_switch.ts";
import { LabControlPlane, missingPeers, nodeObject, RunningProxy } from "./support/takeover_lab.ts";
import { webObjects } from "./support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

const CLEANED_UP_WITHIN_MS = 20_000;

/** Foreign rules in the tables that mode iptables writes to. */
const foreign = ["-A INPUT -j OTHER", "-A OTHER -p tcp -m tcp --dport 4711 -j ACCEPT"];

Deno.test("a mode switch loses no connection, removes the rules of the old mode, and keeps foreign rules", async () => {
  await using lab = await Lab.create();
  await addForeignRules(lab);
  const manifests = await publish(lab);
  const modes = ["nftables", "iptables", "nftables", "iptables"] as const;
  let proxy: ProxyProcess | undefined;
  try {
    for (const [step, mode] of modes.entries()) {
      const before = step === 0 ? undefined : await ConnectionsDuringSwitch.start(lab, web);
      await proxy?.stop("SIGKILL");
      proxy = new ProxyProcess(lab, manifests, mode);
      await cleanedUp(proxy, mode === "nftables" ? "iptables" : "nftables", CLEANED_UP_WITHIN_MS);
      await answered(lab.agent("outside"), web);
      await before?.mustHaveSurvived(`switch ${step} to mode ${mode}`);
      assert.deepEqual(await modesInKernel(lab), [mode]);
      assert.deepEqual(await foreignRules(lab), foreign);
    }
  } finally {
    await proxy?.stop();
  }
  await lab.output("node", proxyBinary, "--cleanup");
  assert.deepEqual(await modesInKernel(lab), []);
  assert.deepEqual(await foreignRules(lab), foreign);
});

Deno.test({
  name:
    `mode nftables takes over from kube-proxy in mode iptables without losing a connection${missingPeers}`,
  ignore: missingPeers !== "",
  async fn() {
    await using lab = await Lab.create();
    await addForeignRules(lab);
    await using plane = await LabControlPlane.start(lab);
    await plane.publish([nodeObject, ...webObjects("web", web.to)]);
    await using upstream = new RunningProxy(lab, plane, "kube-proxy", "iptables");
    await answered(lab.agent("outside"), web);
    assert.deepEqual(await modesInKernel(lab), ["iptables"]);

    const connections = await ConnectionsDuringSwitch.start(lab, web);
    await upstream.kill();
    await using proxy = new RunningProxy(lab, plane, "proxy");
    await cleanedUp(proxy, "iptables", CLEANED_UP_WITHIN_MS);
    await connections.mustHaveSurvived("the switch");
    assert.deepEqual(await modesInKernel(lab), ["nftables"]);
    assert.deepEqual(await foreignRules(lab), foreign);
  },
});

/** The modes that have objects in the kernel. */
async function modesInKernel(lab: Lab): Promise<readonly string[]> {
  const saved = (await lab.output("node", "iptables-save")) + (await lab.output("node", "ip6tables-save"));
  const tables = await lab.output("node", "nft", "list", "tables");
  return [
    ...(/kube-proxy/.test(tables) ? ["nftables"] : []),
    ...(/KUBE-/.test(saved) ? ["iptables"] : []),
  ];
}

async function addForeignRules(lab: Lab): Promise<void> {
  await lab.output("node", "iptables", "--new", "OTHER");
  for (const rule of [...foreign].reverse()) await lab.output("node", "iptables", ...rule.split(" "));
}

async function foreignRules(lab: Lab): Promise<readonly string[]> {
  return (await lab.output("node", "iptables-save", "--table", "filter")).split("\n")
    .filter((line) => line.startsWith("-A") && line.includes("OTHER"));
}

async function publish(lab: Lab): Promise<string> {
  const directory = `${lab.directory}/manifests`;
  await Deno.mkdir(directory, { recursive: true });
  const list = { apiVersion: "v1", kind: "List", items: webObjects("web", web.to) };
  await Deno.writeTextFile(`${directory}/web.json`, JSON.stringify(list));
  return directory;
}
