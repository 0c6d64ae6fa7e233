import assert from "node:assert/strict";
import type { ProxyMode } from "../../../backends/backend.ts";
import { Lab } from "../../lab/lab.ts";
import { beforeNextLook, slowness } from "../../lab/pace.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { at } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../connections_during_switch.ts";
import { affinities } from "../takeover_turns.ts";
import { LabControlPlane, missingPeers, nodeObject, RunningProxy } from "../takeover_lab.ts";
import { webObjects } from "../web_objects.ts";
import { missingIpset, missingIpvs } from "./has_ipvs.ts";

const web = { protocol: "TCP", to: at("clusterIP", "IPv4", 11), port: 80 } as const;
const sticky = { ...web, to: at("clusterIP", "IPv4", 12) };
const later = { ...web, to: at("clusterIP", "IPv4", 13) };
const objects = [
  nodeObject,
  ...webObjects("web", web.to),
  ...webObjects("sticky", sticky.to, { sessionAffinity: "ClientIP" }),
  ...balanced(),
];

/** For all kinds of rules that kube-proxy has, the one with `-m ipvs` among them. */
function balanced(): readonly object[] {
  const spec = { type: "LoadBalancer", loadBalancerSourceRanges: ["172.16.0.0/12"] };
  const [service, ...slices] = webObjects("balanced", at("clusterIP", "IPv4", 14), spec);
  const ingress = [{ ip: at("loadBalancer", "IPv4", 14) }];
  return [{ ...service, status: { loadBalancer: { ingress } } }, ...slices];
}

const missing = missingIpvs || missingIpset || missingPeers;

Deno.test({
  name: `what kube-proxy has in mode ipvs is taken over or removed, whatever comes after it${missing}`,
  ignore: missing !== "",
  async fn(t) {
    await using lab = await Lab.create();
    await using plane = await LabControlPlane.start(lab);
    await ofOthers(lab);
    const found = await ofOthersIn(lab);

    await t.step(
      "mode ipvs takes over its virtual servers, and no connection or affinity is lost",
      async () => {
        await using upstream = await kubeProxy(lab, plane);
        const before = await affinities(lab, sticky);
        for (const [client, pods] of before) assert.equal(pods.size, 1, `${client} has affinity`);
        const connections = await ConnectionsDuringSwitch.start(lab, web);
        const made = await connectionsMade(lab);
        await upstream.kill();
        await using proxy = await ours(lab, plane, "ipvs");
        await plane.publish([...objects, ...webObjects("later", later.to)]);
        await answered(lab.agent("outside"), later);
        await connections.mustHaveSurvived("the take-over");
        assert.deepEqual(await affinities(lab, sticky), before);
        assert.ok(await connectionsMade(lab) > made, "a virtual server that is made anew would count from 0");
        assert.deepEqual(await kubeProxysIn(lab), { rules: [], sets: [] });
        assert.deepEqual(await ofOthersIn(lab), found);
        await proxy.kill();
      },
    );

    await t.step("a cleanup leaves nothing of us", () => cleanedUp(lab, found));

    await t.step("a cleanup leaves nothing of it", async () => {
      await using upstream = await kubeProxy(lab, plane);
      await upstream.kill();
      await cleanedUp(lab, found);
    });

    for (const mode of ["nftables", "iptables"] as const) {
      await t.step(`mode ${mode} removes it, and no new connection fails`, async () => {
        await using upstream = await kubeProxy(lab, plane);
        const connections = await ConnectionsDuringSwitch.start(lab, web);
        await upstream.kill();
        await using proxy = await ours(lab, plane, mode);
        await connections.noneMayHaveFailed(`the switch to mode ${mode}`);
        assert.deepEqual((await kubeProxysIn(lab)).sets, []);
        assert.deepEqual(await servers(lab), []);
        assert.doesNotMatch(await output(lab, "ip", "link"), /kube-ipvs0/);
        assert.deepEqual(await ofOthersIn(lab), found);
        await proxy.kill();
        await cleanedUp(lab, found);
      });
    }
  },
});

/** kube-proxy in mode ipvs, with everything it has in the kernel. */
async function kubeProxy(lab: Lab, plane: LabControlPlane): Promise<RunningProxy> {
  await plane.publish(objects);
  const proxy = new RunningProxy(lab, plane, "kube-proxy", "ipvs");
  await answered(lab.agent("outside"), web);
  await until(async () => {
    const { rules, sets } = await kubeProxysIn(lab);
    return sets.length === 34 && rules.some((rule) => rule.includes("-m ipvs"));
  }, () => proxy.log);
  return proxy;
}

/** Our proxy in a mode, once it says that nothing of kube-proxy is left. */
async function ours(lab: Lab, plane: LabControlPlane, mode: ProxyMode): Promise<RunningProxy> {
  const proxy = new RunningProxy(lab, plane, "proxy", mode);
  const said = mode === "ipvs"
    ? '"Nothing that only kube-proxy uses is left" mode="ipvs"'
    : '"Nothing of another mode is left" mode="ipvs"';
  await until(() => Promise.resolve(proxy.log.includes(said)), () => proxy.log);
  return proxy;
}

async function cleanedUp(lab: Lab, found: unknown): Promise<void> {
  await output(lab, proxyBinary, "--cleanup");
  assert.deepEqual(await kubeProxysIn(lab), { rules: [], sets: [] });
  assert.deepEqual(await servers(lab), []);
  assert.doesNotMatch(await output(lab, "ip", "link"), /kube-ipvs0/);
  assert.doesNotMatch(await output(lab, "nft", "list", "tables"), /kube-proxy/);
  assert.deepEqual(await ofOthersIn(lab), found);
}

/** What is named as kube-proxy names it, and whose rules. */
async function kubeProxysIn(
  lab: Lab,
): Promise<{ readonly rules: readonly string[]; readonly sets: readonly string[] }> {
  const saved = await output(lab, "iptables-nft-save") + await output(lab, "ip6tables-nft-save");
  const sets = await output(lab, "ipset", "list", "-name");
  const ofKubeProxy = (line: string) => /KUBE-/.test(line) && !/KUBE-OF-MINE/.test(line);
  return { rules: saved.split("\n").filter(ofKubeProxy), sets: sets.split("\n").filter(ofKubeProxy) };
}

/** Somebody's set, and their rule that looks into it. */
async function ofOthers(lab: Lab): Promise<void> {
  await output(lab, "ipset", "create", "KUBE-OF-MINE", "hash:ip");
  const rule = ["INPUT", "-m", "set", "--match-set", "KUBE-OF-MINE", "src", "-j", "DROP"];
  await output(lab, "iptables-nft", "-A", ...rule);
}

async function ofOthersIn(lab: Lab): Promise<readonly string[]> {
  const saved = await output(lab, "iptables-nft-save", "-t", "filter");
  const sets = await output(lab, "ipset", "list", "-name");
  return [...saved.split("\n"), ...sets.split("\n")].filter((line) => line.includes("KUBE-OF-MINE"));
}

async function servers(lab: Lab): Promise<readonly string[]> {
  return (await output(lab, "ipvsadm", "--save", "--numeric")).split("\n").filter((line) => line !== "");
}

/** Through the virtual server of `web`, since that was made. */
async function connectionsMade(lab: Lab): Promise<number> {
  const listed = await output(lab, "ipvsadm", "-Ln", "--stats", "--exact", "-t", `${web.to}:${web.port}`);
  const [, connections] = /^TCP\s+\S+\s+(\d+)/m.exec(listed) ?? [];
  assert.ok(connections !== undefined, listed);
  return Number(connections);
}

async function until(isSo: () => Promise<boolean>, log: () => string): Promise<void> {
  const deadline = performance.now() + 20_000 * slowness;
  while (!await isSo()) {
    assert.ok(performance.now() < deadline, log().slice(-3000));
    await beforeNextLook(20);
  }
}

async function output(lab: Lab, ...command: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.run("node", command);
  assert.equal(code, 0, `${command.join(" ")}: ${stderr}`);
  return stdout;
}
