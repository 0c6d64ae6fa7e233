import { RollingTest } from "./support/rolling.ts";

Deno.test("each mode is replaced by each other without a failed connection", async (t) => {
  await using test = await RollingTest.start("nftables");
  let from = "nftables";
  for (const to of ["iptables", "ebpf", "nftables", "ebpf", "iptables", "nftables"] as const) {
    await t.step(`${from} to ${to}`, () => test.during(`${from} to ${to}`, () => test.cluster.deploy(to)));
    from = to;
  }
});
