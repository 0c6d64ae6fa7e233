import assert from "node:assert/strict";
import { hasDeviceLinks } from "../../../backends/ebpf/programs/tc_attach.ts";
import { loadUnpinned, type ObjectName } from "../../../backends/ebpf/programs/objects.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { isLinux } from "./support/kernel_version.ts";

/**
 * Maximum number of instructions that the verifier may process for each program, twice the largest number in
 * Linux 6.1, 6.12 and 6.18 (docs/ebpf.md). The verifier's own limit is a million.
 */
const MAX_INSTRUCTIONS: Readonly<Record<ObjectName, Readonly<Record<string, number>>>> = {
  sock: {
    connect4: 4500,
    connect6: 4500,
    sendmsg4: 35_000,
    sendmsg6: 35_000,
    recvmsg4: 4500,
    recvmsg6: 4500,
    getpeername4: 100,
    getpeername6: 100,
  },
  tc_netfilter: { ingress_l2: 84_000, ingress_l3: 84_000, egress_l2: 40_000, egress_l3: 40_000 },
  tc: { ingress_l2: 84_000, ingress_l3: 84_000, egress_l2: 40_000, egress_l3: 40_000 },
  destroy: { udp: 2200, tcp: 2200 },
  find: { udp: 2200, tcp: 2200 },
};

for (const file of ["sock", "tc", "tc_netfilter", "destroy", "find"] as const) {
  // Libraries stay open. Kernels without bpf_sock_destroy are tested below.
  const options = { sanitizeResources: false, ignore: file === "destroy" && !isLinux(6, 5) };
  Deno.test(`the verifier processes few instructions of ${file}.bpf.c`, options, async (t) => {
    // Its kernel functions are in this module, where connection tracking is not built in.
    if (file === "tc_netfilter") await new Deno.Command("modprobe", { args: ["nf_conntrack"] }).output();
    using object = loadUnpinned(file);
    const limits = MAX_INSTRUCTIONS[file];
    assert.deepEqual(object.programNames.toSorted(), Object.keys(limits).toSorted());
    for (const name of object.programNames) {
      using program = object.program(name);
      const count = program.verifiedInstructions;
      await t.step(`${name}: ${count}`, () => assert(count > 0 && count <= (limits[name] ?? 0)));
    }
  });
}

Deno.test("kernels before Linux 6.5 reject programs that end sockets", { sanitizeResources: false }, () => {
  const load = () => loadUnpinned("destroy")[Symbol.dispose]();
  if (isLinux(6, 5)) load();
  else assert.throws(load, KernelError);
});

Deno.test(
  "the probe finds links to devices (tcx) from Linux 6.6 on",
  { sanitizeResources: false },
  () => {
    using object = loadUnpinned("tc");
    using program = object.program("ingress_l2");
    assert.equal(hasDeviceLinks(program), isLinux(6, 6));
  },
);
