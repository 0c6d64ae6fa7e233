import assert from "node:assert/strict";
import { dirname } from "node:path";
import type { ProxyMode } from "../../../backends/registry.ts";
import { ebpfFlags } from "../../lab/ebpf_mounts.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { cleanedUp, proxyBinary, ProxyProcess } from "../../lab/proxy.ts";
import { serviceAddress } from "../../lab/topology.ts";
import { answered } from "../../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "../support/connections_during_switch.ts";
import { webObjects } from "../support/web_objects.ts";
import { hasIpvs, missingIpvs } from "./support/has_ipvs.ts";

/** Every change to mode ipvs and from it. */
const SEQUENCE = ["ipvs", "nftables", "ipvs", "ebpf", "ipvs"] as const;

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;

Deno.test({
  name: `a switch to mode ipvs and back serves throughout, and leaves no rules of the old mode${missingIpvs}`,
  ignore: !hasIpvs(),
  async fn() {
    await using lab = await Lab.create(true);
    const start = (mode: ProxyMode) => new ProxyProcess(lab, manifests, mode, ebpfFlags(lab.ebpfMounts));
    const manifests = `${lab.directory}/manifests`;
    await Deno.mkdir(manifests);
    const list = { apiVersion: "v1", kind: "List", items: webObjects("web", web.to) };
    await Deno.writeTextFile(`${manifests}/web.json`, JSON.stringify(list));
    let last: ProxyMode = "nftables";
    let proxy = start(last);
    try {
      await answered(lab.agent("outside"), web);
      for (const mode of SEQUENCE) {
        const connections = await ConnectionsDuringSwitch.start(lab, web);
        await proxy.stop("SIGKILL");
        proxy = start(mode);
        await cleanedUp(proxy, last, 60_000 * slowness);
        await answered(lab.agent("outside"), web);
        // Connections balanced by IPVS end with it, because only IPVS can follow its conntrack entries.
        if (mode === "ipvs") await connections.mustHaveSurvived(`the switch from mode ${last} to ipvs`);
        else await connections.noneMayHaveFailed(`the switch from mode ipvs to ${mode}`);
        assert.deepEqual(await inKernel(lab), [mode]);
        last = mode;
      }
    } finally {
      await proxy.stop();
    }
    await lab.output("node", proxyBinary, "--cleanup");
    assert.deepEqual(await inKernel(lab), []);
  },
});

/** Modes with objects in the kernel; mode ipvs in parts unless it is complete. */
async function inKernel(lab: Lab): Promise<readonly string[]> {
  const tables = await lab.output("node", "nft", "list", "tables");
  const ofIpvs = [
    ...(/kube-proxy-ipvs$/m.test(tables) ? ["tables"] : []),
    ...(/kube-ipvs0/.test(await lab.output("node", "ip", "-o", "link")) ? ["device"] : []),
    ...((await lab.output("node", "ipvsadm", "-Sn")).trim() === "" ? [] : ["servers"]),
  ];
  return [
    ...(/kube-proxy$/m.test(tables) ? ["nftables"] : []),
    ...(hasPins(lab) ? ["ebpf"] : []),
    ...(ofIpvs.length === 3 ? ["ipvs"] : ofIpvs),
  ];
}

/** Reports whether mode ebpf has pinned its programs and maps. */
function hasPins({ ebpfMounts: { bpffs } }: Lab): boolean {
  return [...Deno.readDirSync(dirname(bpffs))].length > 0;
}
