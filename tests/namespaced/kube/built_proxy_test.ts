import { rawNode } from "../../core/kube/raw_objects.ts";
import { makeCertificates } from "../../core/kube/test_certificates.ts";
import { authentication } from "./authentication.ts";
import type { Case, Setting } from "./case.ts";
import { ControlPlane } from "./control_plane.ts";
import { outages } from "./outages.ts";
import { Pods } from "./pods.ts";
import { programming } from "./programming.ts";

// Run by built_proxy_with_apiserver_test.ts in a network namespace of its own.

/** One control plane for all cases: it takes seconds to start. */
Deno.test({
  name: "dist/proxy with a real control plane",
  // Connecting to nobody cannot be called off.
  sanitizeOps: false,
  async fn(t) {
    const certificates = await makeCertificates("IP:127.0.0.1");
    const clientAuthority = Deno.makeTempFileSync({ prefix: "client-ca-" });
    Deno.writeTextFileSync(clientAuthority, certificates.authority);
    try {
      await using plane = await ControlPlane.start([
        `--client-ca-file=${clientAuthority}`,
        "--delete-collection-workers=20",
      ]);
      using pods = await Pods.start();
      await plane.create(rawNode("here"));
      const setting: Setting = { plane, pods, client: certificates.client };
      const cases: readonly Case[] = [...programming, ...authentication, ...outages];
      for (const { name, test } of cases) {
        await t.step(name, () => test(setting));
        // A case that failed may have left it down.
        if (!plane.isRunning) await plane.start();
      }
    } finally {
      Deno.removeSync(clientAuthority);
    }
  },
});
