import { rawNode } from "../../core/kube/raw_objects.ts";
import { makeCertificates } from "../../core/kube/connection/test_certificates.ts";
import { authentication } from "./authentication.ts";
import type { Case, Setting } from "./case.ts";
import { ControlPlane } from "./control_plane.ts";
import { outages } from "./outages.ts";
import { Pods } from "./pods.ts";
import { programming } from "./programming.ts";

// Runs in a network namespace made by tests/integration/built_proxy_with_apiserver_test.ts.

/** All cases share a control plane, because it takes seconds to start. */
Deno.test({
  name: "dist/proxy with a real control plane",
  // A connection attempt to a dead address cannot be cancelled.
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
        // A failed case may have left it stopped.
        if (!plane.isRunning) await plane.start();
      }
    } finally {
      Deno.removeSync(clientAuthority);
    }
  },
});
