import { RollingTest } from "./support/rolling.ts";

Deno.test("kube-proxy is replaced by each mode, and comes back, without a failed connection", async (t) => {
  await using test = await RollingTest.start("kube-proxy:nftables");
  for (const upstream of ["kube-proxy:nftables", "kube-proxy:iptables"] as const) {
    await test.cluster.deploy(upstream);
    for (const mode of ["nftables", "iptables", "ebpf"] as const) {
      await t.step(`${upstream} to ${mode}`, () => test.during(mode, () => test.cluster.deploy(mode)));
      await t.step(
        `${mode} to ${upstream}`,
        () => test.during(upstream, () => test.cluster.deploy(upstream)),
      );
    }
  }
});
