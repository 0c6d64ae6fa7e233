import assert from "node:assert/strict";
import { probeIcmp } from "../../../backends/userspace/probe.ts";

Deno.test("a process that may not send ICMP errors is told the consequence and where to get the right", () => {
  const { found, severity, name, detail } = probeIcmp("recommended", () => -1);
  assert.deepEqual({ found, severity, name }, { found: false, severity: "recommended", name: "CAP_NET_RAW" });
  assert.match(detail, /clients of UDP services wait.*unit or the container.*#privileges/);
});
