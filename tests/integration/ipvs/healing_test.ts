import assert from "node:assert/strict";
import { slowness } from "../../lab/pace.ts";
import { Node } from "../cli/support/node.ts";
import { service, slice } from "../cli/support/objects.ts";
import { hasIpvs, missingIpvs } from "./support/has_ipvs.ts";

/**
 * Changes of tables and of the device are notified; IPVS is polled every five seconds. In an emulated machine beside
 * others, repairs of notified changes took up to 7 s.
 */
const TOLD_WITHIN_MS = slowness === 1 ? 1_000 : 3_000 * slowness;
const SEEN_WITHIN_MS = 5_000 + TOLD_WITHIN_MS;

const harms = [
  [
    "nft delete table ip kube-proxy-ipvs",
    TOLD_WITHIN_MS,
    /table ip kube-proxy-ipvs .* by nft.*"add table ip kube-proxy-ipvs"/,
  ],
  ["nft flush ruleset", TOLD_WITHIN_MS, /table ip6? kube-proxy-ipvs .* by nft/],
  ["nft flush chain ip kube-proxy-ipvs services", TOLD_WITHIN_MS, /table ip kube-proxy-ipvs .* by nft/],
  [
    "ip address del 10.96.0.11/32 dev kube-ipvs0",
    TOLD_WITHIN_MS,
    /address 10\.96\.0\.11 was removed from kube-ipvs0" action="repaired"/,
  ],
  ["ip link del kube-ipvs0", TOLD_WITHIN_MS, /kube-ipvs0/],
  [
    "ipvsadm -D -t 10.96.0.10:80",
    SEEN_WITHIN_MS,
    /1 virtual server was removed.*"add real server 10\.244\.1\.12:8080 to virtual server 10\.96\.0\.10:80\/TCP"/,
  ],
  [
    "ipvsadm -d -t 10.96.0.10:80 -r 10.244.1.12:8080",
    SEEN_WITHIN_MS,
    /virtual server 10\.96\.0\.10:80\/TCP was changed.*"add real server 10\.244\.1\.12:8080/,
  ],
  [
    "ipvsadm -e -t 10.96.0.10:80 -r 10.244.1.12:8080 -m -w 9",
    SEEN_WITHIN_MS,
    /virtual server 10\.96\.0\.10:80\/TCP was changed.*"change real server 10\.244\.1\.12:8080/,
  ],
  [
    "ipvsadm -E -t 10.96.0.10:80 -s sh",
    SEEN_WITHIN_MS,
    /virtual server 10\.96\.0\.10:80\/TCP was changed.*"change virtual server 10\.96\.0\.10:80/,
  ],
  ["ipvsadm -A -t 10.99.0.1:80", SEEN_WITHIN_MS, /virtual server 10\.99\.0\.1:80\/TCP was added/],
  ["ipvsadm -C", SEEN_WITHIN_MS, /2 virtual servers were removed/],
] as const;

Deno.test({
  name: `foreign changes in mode ipvs are repaired and logged${missingIpvs}`,
  ignore: !hasIpvs(),
  async fn(t) {
    await using node = await Node.make();
    await node.write("web.json", [
      ...[service("web", "10.96.0.10"), slice("web", ["10.244.1.11", "10.244.1.12"])],
      ...[service("other", "10.96.0.11"), slice("other", ["10.244.1.11"])],
    ]);
    await using proxy = node.start("--proxy-mode=ipvs", "--ipvs-scheduler=wrr");
    await proxy.inForce();
    const inForce = async () =>
      await node.namespace.run("ipvsadm", "-Sn") + await addresses(node) + await node.ruleset();
    const before = await inForce();
    assert.match(before, /-a -t 10\.96\.0\.10:80 -r 10\.244\.1\.12:8080 -m -w 1/);

    for (const [harm, withinMs, reason] of harms) {
      await t.step(harm, async () => {
        // Repairs are at least half a second apart.
        await new Promise((resolve) => setTimeout(resolve, 600));
        const said = proxy.log.length;
        await node.namespace.run(...harm.split(" "));
        const ms = await proxy.until(async () => await inForce() === before, `repair of ${harm}`);
        console.log(`    repaired after ${ms.toFixed(0)} ms`);
        assert.ok(ms < withinMs, `repaired after ${ms.toFixed(0)} ms`);
        await proxy.until(() => /Reconciled/.test(proxy.log.slice(said)), "log of the repair");
        const [told = ""] = /Reconciled the kernel with the plans.*/.exec(proxy.log.slice(said)) ?? [];
        assert.match(told, reason);
      });
    }
    assert.ok(proxy.isRunning);
  },
});

/** Sorted addresses of the device; "" when there is none. */
async function addresses(node: Node): Promise<string> {
  const show = ["ip", "-brief", "address", "show", "dev", "kube-ipvs0"];
  return (await node.namespace.run(...show).catch(() => "")).split(/\s+/).sort().join(" ");
}
