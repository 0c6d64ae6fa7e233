import { RollingTest } from "./support/rolling.ts";
import { addImage } from "./support/second_image.ts";

Deno.test("an upgrade of the image, and its roll-back, fail no connection", async (t) => {
  await using test = await RollingTest.start("nftables");
  const { cluster } = test;
  const image = await addImage(cluster);
  for (const mode of ["nftables", "iptables", "ebpf"] as const) {
    await cluster.deploy(mode);
    const roll = async (...command: readonly string[]) => {
      await cluster.kubectl("--namespace", "kube-system", ...command);
      await cluster.rolledOut("kube-system", "daemonset/proxy");
    };
    await t.step(
      `upgrade in mode ${mode}`,
      () =>
        test.during(`upgrade in mode ${mode}`, () =>
          roll("set", "image", "daemonset/proxy", `proxy=${image}`, `node-settings=${image}`)),
    );
    await t.step(
      `roll-back in mode ${mode}`,
      () => test.during(`roll-back in mode ${mode}`, () => roll("rollout", "undo", "daemonset/proxy")),
    );
  }
});
