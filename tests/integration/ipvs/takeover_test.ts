import assert from "node:assert/strict";
import type { ProxyMode } from "../../../backends/registry.ts";
import { isAnswered } from "../../lab/agent.ts";
import { Lab } from "../../lab/lab.ts";
import { pollPause, slowness } from "../../lab/pace.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { affinities } from "../support/takeover_sequence.ts";
import { LabControlPlane, missingPeers, nodeObject, RunningProxy } from "../support/takeover_lab.ts";
import { webObjects } from "../support/web_objects.ts";
import { missingIpset, missingIpvs } from "./support/has_ipvs.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const sticky = { ...web, to: serviceAddress("clusterIP", "IPv4", 12) };
const later = { ...web, to: serviceAddress("clusterIP", "IPv4", 13) };
const objects = [
  nodeObject,
  ...webObjects("web", web.to),
  ...webObjects("sticky", sticky.to, { sessionAffinity: "ClientIP" }),
  ...balanced(),
];

/** Flags that make kube-proxy write all its kinds of rules, including the one with `-m ipvs`. */
function balanced(): readonly object[] {
  const spec = { type: "LoadBalancer", loadBalancerSourceRanges: ["172.16.0.0/12"] };
  const [service, ...slices] = webObjects("balanced", serviceAddress("clusterIP", "IPv4", 14), spec);
  const ingress = [{ ip: serviceAddress("loadBalancer", "IPv4", 14) }];
  return [{ ...service, status: { loadBalancer: { ingress } } }, ...slices];
}

const missing = missingIpvs || missingIpset || missingPeers;

Deno.test({
  name: `kube-proxy's mode ipvs is taken over or removed by every next mode${missing}`,
  ignore: missing !== "",
  async fn(t) {
    await using lab = await Lab.create();
    await using plane = await LabControlPlane.start(lab);
    await ofOthers(lab);
    const found = await ofOthersIn(lab);

    await t.step("mode ipvs takes over without losing a connection or an affinity", async () => {
      await using upstream = await kubeProxy(lab, plane);
      const { servers, device } = await kubeProxysIn(lab);
      const reached = await affinities(lab, sticky);
      for (const [client, pods] of reached) assert.equal(pods.size, 1, `${client} has affinity`);
      const connections = await ConnectionsDuringSwitch.start(lab, web);
      const made = await connectionsMade(lab);
      await upstream.kill();
      await using proxy = await ours(lab, plane, "ipvs");
      assert.deepEqual(await kubeProxysIn(lab), { ...nothing, servers, device });
      assert.ok(await connectionsMade(lab) > made, "a virtual server that is made anew would count from 0");
      await plane.publish([...objects, ...webObjects("later", later.to)]);
      await answered(lab.agent("outside"), later);
      await connections.mustHaveSurvived("the take-over");
      assert.deepEqual(await affinities(lab, sticky), reached);
      assert.deepEqual(await ofOthersIn(lab), found);
      await proxy.kill();
      await cleanedUp(lab, found);
    });

    await t.step("a cleanup removes everything", async () => {
      await using upstream = await kubeProxy(lab, plane);
      await upstream.kill();
      await cleanedUp(lab, found);
    });

    await t.step("mode nftables removes everything, and no new connection fails", async () => {
      await using upstream = await kubeProxy(lab, plane);
      const connections = await ConnectionsDuringSwitch.start(lab, web);
      await upstream.kill();
      await using proxy = await ours(lab, plane, "nftables");
      // Connections balanced by IPVS end with it.
      await connections.noneMayHaveFailed("the switch");
      assert.deepEqual(await kubeProxysIn(lab), nothing);
      assert.deepEqual(await ofOthersIn(lab), found);
      await proxy.kill();
      await cleanedUp(lab, found);
    });
  },
});

/** kube-proxy in mode ipvs, once all its kernel objects exist. */
async function kubeProxy(lab: Lab, plane: LabControlPlane): Promise<RunningProxy> {
  await plane.publish(objects);
  return await started(new RunningProxy(lab, plane, "kube-proxy", "ipvs"), async () => {
    const { rules, sets } = await kubeProxysIn(lab);
    const [outcome] = await lab.agent("outside").probe(web, { timeoutMs: 100 * slowness });
    return sets.length === 34 && rules.some((rule) => rule.includes("-m ipvs")) &&
      outcome !== undefined && isAnswered(outcome);
  });
}

/** This proxy in a mode, once it logs that no kernel objects of kube-proxy are left. */
async function ours(lab: Lab, plane: LabControlPlane, mode: ProxyMode): Promise<RunningProxy> {
  const said = mode === "ipvs"
    ? '"No leftovers of kube-proxy remain" mode="ipvs"'
    : '"No rules of another mode remain" mode="ipvs"';
  const proxy = new RunningProxy(lab, plane, "proxy", mode);
  return await started(proxy, () => Promise.resolve(proxy.log.includes(said)));
}

/** Waits until a proxy is ready. Fails with the end of its log otherwise. */
async function started(proxy: RunningProxy, isReady: () => Promise<boolean>): Promise<RunningProxy> {
  await using owned = new AsyncDisposableStack();
  owned.use(proxy);
  const deadline = performance.now() + 60_000 * slowness;
  while (!await isReady()) {
    assert.ok(performance.now() < deadline, `${proxy.who} is not ready:\n${proxy.log.slice(-5000)}`);
    await pollPause(20);
  }
  owned.move();
  return proxy;
}

async function cleanedUp(lab: Lab, found: readonly string[]): Promise<void> {
  await lab.output("node", proxyBinary, "--cleanup");
  assert.deepEqual(await kubeProxysIn(lab), nothing);
  assert.doesNotMatch(await lab.output("node", "nft", "list", "tables"), /kube-proxy/);
  assert.deepEqual(await ofOthersIn(lab), found);
}

/** Kernel objects of kube-proxy in mode ipvs. Virtual servers and the device are used by this proxy too. */
interface KubeProxys {
  readonly rules: readonly string[];
  readonly sets: readonly string[];
  readonly servers: readonly string[];
  readonly device: readonly string[];
}

const nothing: KubeProxys = { rules: [], sets: [], servers: [], device: [] };

async function kubeProxysIn(lab: Lab): Promise<KubeProxys> {
  const lines = async (...command: readonly string[]) =>
    (await lab.output("node", ...command)).split("\n").filter((line) => line !== "");
  const rules = [...await lines("iptables-nft-save"), ...await lines("ip6tables-nft-save")];
  const sets = await lines("ipset", "list", "-name");
  const ofKubeProxy = (line: string) => line.includes("KUBE-") && !line.includes("KUBE-OF-MINE");
  return {
    rules: rules.filter(ofKubeProxy),
    sets: sets.filter(ofKubeProxy),
    servers: (await lines("ipvsadm", "--save", "--numeric")).sort(),
    device: (await lines("ip", "-o", "link")).filter((line) => line.includes("kube-ipvs0")),
  };
}

/** Creates a foreign set and a foreign rule that uses it. */
async function ofOthers(lab: Lab): Promise<void> {
  await lab.output("node", "ipset", "create", "KUBE-OF-MINE", "hash:ip");
  const rule = ["INPUT", "-m", "set", "--match-set", "KUBE-OF-MINE", "src", "-j", "DROP"];
  await lab.output("node", "iptables-nft", "-A", ...rule);
}

async function ofOthersIn(lab: Lab): Promise<readonly string[]> {
  const saved = await lab.output("node", "iptables-nft-save", "-t", "filter");
  const sets = await lab.output("node", "ipset", "list", "-name");
  return [...saved.split("\n"), ...sets.split("\n")].filter((line) => line.includes("KUBE-OF-MINE"));
}

/** Connections through the virtual server of `web` since it was created. */
async function connectionsMade(lab: Lab): Promise<number> {
  const listed = await lab.output(
    "node",
    "ipvsadm",
    "-Ln",
    "--stats",
    "--exact",
    "-t",
    `${web.to}:${web.port}`,
  );
  const [, connections] = /^TCP\s+\S+\s+(\d+)/m.exec(listed) ?? [];
  assert.ok(connections !== undefined, listed);
  return Number(connections);
}
