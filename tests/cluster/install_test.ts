import assert from "node:assert/strict";
import { dependentSteps } from "./support/dependent_steps.ts";
import { documentedCommands } from "./support/documented_commands.ts";
import { Installation } from "./support/installation.ts";
import { rulesOn } from "./support/kernel_state.ts";
import { RollingTest } from "./support/rolling.ts";
import { addImage } from "./support/second_image.ts";

// The commands of docs/operations.md, as they are written there.

for (const tool of ["helm", "kubectl"] as const) {
  const { install, uninstall, takeOver, upgrade, rollBack, goBack } = documentedCommands(tool);

  Deno.test(`${tool} installs each mode, and uninstalls it without leaving a rule`, async (t) => {
    await Installation.prepare();
    await using test = await RollingTest.start("none");
    await using installation = await Installation.on(test.cluster);
    const step = dependentSteps(t);
    for (const mode of ["nftables", "iptables", "ebpf"] as const) {
      await step(`mode ${mode}`, async () => {
        await installation.run(install, { mode });
        await test.during(`${tool}, mode ${mode}`, () => Promise.resolve());
        await installation.run(uninstall);
        for (const node of test.cluster.nodes) assert.deepEqual(await rulesOn(test.cluster, node), []);
        assert.equal(await installation.remains(), "");
      });
    }
  });

  Deno.test(`${tool} replaces kubeadm's kube-proxy, upgrades, rolls back and goes back without a failed connection`, async (t) => {
    await Installation.prepare();
    await using test = await RollingTest.start("none");
    await using installation = await Installation.on(test.cluster);
    const next = await addImage(test.cluster);
    const step = dependentSteps(t);
    await step("kube-proxy runs", () => installation.deployKubeProxyAsKubeadm());
    for (
      const [name, command, image] of [
        ["take over from kube-proxy", takeOver, installation.image],
        ["upgrade", upgrade, next],
        ["roll back", rollBack, installation.image],
        ["go back to kube-proxy", goBack, installation.kubeProxyImage],
      ] as const
    ) {
      await step(name, () =>
        test.during(`${tool}: ${name}`, async () => {
          await installation.run(command, { version: next.split(":")[1]! });
          assert.deepEqual(await installation.imagesThatServe(), [image]);
        }));
    }
    await step("nothing of the proxy remains", async () => {
      assert.equal(await installation.remains(), "");
    });
  });
}
