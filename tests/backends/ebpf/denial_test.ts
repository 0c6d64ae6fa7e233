import assert from "node:assert/strict";
import { explainBpfDenial } from "../../../backends/ebpf/probe.ts";

Deno.test("EPERM from bpf() names the capabilities that are missing, and only those", () => {
  assert.match(
    explainBpfDenial("load: EPERM", new Set(["CAP_NET_ADMIN"])),
    /lacks CAP_BPF and CAP_PERFMON, or/,
  );
  for (const held of [["CAP_SYS_ADMIN"], ["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]] as const) {
    assert.match(
      explainBpfDenial("load: EPERM", new Set(held)),
      /^load: EPERM\. The process has the capabilities/,
    );
  }
});
