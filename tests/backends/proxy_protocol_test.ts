import assert from "node:assert/strict";
import { modes } from "../../backends/registry.ts";
import { configured } from "../core/backend/fake_modes.ts";
import { planOf } from "./plans.ts";

Deno.test("every mode that does not send the PROXY protocol header says so, for the services that ask for it", () => {
  const plan = planOf({ clusterIP: "10.96.0.10:80" });
  for (const mode of modes) {
    const causesOf = (asked: typeof plan) =>
      configured(mode).limitationsOf?.(asked).map(({ cause }) => cause) ?? [];
    assert.deepEqual(causesOf(plan), [], mode.name);
    const expected = mode.name === "userspace" ? [] : ["no-proxy-protocol"];
    assert.deepEqual(causesOf({ ...plan, proxyProtocol: true }), expected, mode.name);
  }
});
