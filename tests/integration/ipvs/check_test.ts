import assert from "node:assert/strict";
import type { CheckReport } from "../../../core/commands/check/check.ts";
import { assertComplaint, Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { hasIpvs, missingIpvs } from "./support/has_ipvs.ts";

const mode = "--proxy-mode=ipvs";

/** Tests for messages about missing kernel modules. */
const remedies = [
  /IPVS with the scheduler rr: .*\. Run on the node: modprobe ip_vs$/m,
  /dummy devices: .*\. Run on the node: modprobe dummy$/m,
];

Deno.test({
  name: `a kernel without IPVS is reported at once, with the modules to load${
    hasIpvs() ? " (skipped: this one has it)" : ""
  }`,
  ignore: hasIpvs(),
  async fn() {
    await using node = await Node.make();
    await node.write("web.json", reachable("web", "10.96.0.10"));
    assertComplaint(await node.run([...node.source, ...node.identity, mode]), ...remedies);

    const { code, stdout } = await node.run(["check", mode]);
    assert.equal(code, 1);
    assert.match(stdout, /^MISSING +ipvs +IPVS with the scheduler rr .*\. Run on the node: modprobe ip_vs$/m);
    assert.match(stdout, /^MISSING +ipvs +dummy devices .*\. Run on the node: modprobe dummy$/m);
    assert.match(stdout, /^ok +ipvs +nf_tables in the kernel /m);
    const report: CheckReport = JSON.parse((await node.run(["check", mode, "-o", "json"])).stdout);
    const missing = report.modes[0]?.requirements.filter(({ state }) => state === "MISSING") ?? [];
    assert.deepEqual(missing.map(({ name, fix }) => [name, fix]), [
      ["IPVS with the scheduler rr", "modprobe ip_vs"],
      ["dummy devices", "modprobe dummy"],
    ]);
    for (const { detail } of missing) assert.doesNotMatch(detail, /modprobe/);

    assert.equal((await node.run(["--cleanup"])).code, 0, "there is nothing to clean up");
    assert.equal(await node.ruleset(), "");
  },
});

Deno.test({
  name: `a kernel with IPVS lacks only an unknown scheduler${missingIpvs}`,
  ignore: !hasIpvs(),
  async fn() {
    await using node = await Node.make();
    const { code, stdout } = await node.run(["check", mode]);
    assert.equal(code, 0, stdout);
    assert.match(stdout, /^ok +ipvs +IPVS with the scheduler rr +a virtual server can be added$/m);
    assert.match(stdout, /^ok +ipvs +dummy devices +one can be made$/m);
    assert.equal((await node.namespace.run("ipvsadm", "-Sn")).trim(), "");
    assert.doesNotMatch(await node.namespace.run("ip", "link"), /kube-ipvs/);

    const unknown = await node.run([...node.source, ...node.identity, mode, "--ipvs-scheduler=nosuch"]);
    assertComplaint(
      unknown,
      /IPVS with the scheduler nosuch: use the scheduler nosuch of IPVS/,
      /Schedulers of IPVS are rr, wrr.*\. Run on the node: modprobe ip_vs_nosuch$/m,
    );
  },
});
