import { Cluster } from "./support/cluster.ts";
import { assertUnharmed, summarize, Traffic } from "./support/traffic.ts";
import { Workload } from "./support/workload.ts";

Deno.test("kube-proxy is replaced without a failed connection", async (t) => {
  await using cluster = await Cluster.start({ nodes: 2, subject: "kube-proxy:nftables" });
  const workload = await Workload.create(cluster);
  for (const subject of ["nftables"] as const) {
    await t.step(`to mode ${subject}`, async () => {
      await using traffic = await Traffic.start(cluster, await workload.clients());
      await new Promise((resolve) => setTimeout(resolve, 2000));
      traffic.mark(`deploy ${subject}`);
      await cluster.deploy(subject);
      traffic.mark(`${subject} is deployed`);
      await new Promise((resolve) => setTimeout(resolve, 5000));
      const report = await traffic.stop();
      assertUnharmed(report);
      console.log(summarize(report));
    });
  }
});
