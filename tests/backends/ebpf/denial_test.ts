import assert from "node:assert/strict";
import { explainBpfDenial, explainMissingLookup } from "../../../backends/ebpf/probe.ts";

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

Deno.test("a missing lookup of netfilter's flows is the kernel's fault or that of the capabilities", () => {
  const unprivileged = explainMissingLookup(true, new Set(["CAP_BPF", "CAP_NET_ADMIN", "CAP_PERFMON"]));
  assert.match(unprivileged, /^the process lacks CAP_SYS_ADMIN, .* nf_conntrack, so some connections /);
  const oldKernel = /^the kernel lacks bpf_skb_ct_lookup /;
  assert.match(explainMissingLookup(true, new Set(["CAP_SYS_ADMIN"])), oldKernel);
  assert.match(explainMissingLookup(false, new Set()), oldKernel);
});
