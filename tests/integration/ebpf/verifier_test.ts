import assert from "node:assert/strict";
import { hasDeviceLinks } from "../../../backends/ebpf/programs/tc_attach.ts";
import { loadAlone, type ObjectName } from "../../../backends/ebpf/programs/objects.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { isLinux } from "./kernel_version.ts";

/**
 * How many instructions the verifier may go through for each program; it gives up at a million. Twice what the worst
 * of Linux 6.1, 6.12 and 6.18 needs (docs/ebpf.md), so that a change which makes it much harder is seen.
 */
const mostInstructions: Readonly<Record<ObjectName, Readonly<Record<string, number>>>> = {
  sock: {
    connect4: 4500,
    connect6: 4500,
    sendmsg4: 5800,
    sendmsg6: 5800,
    recvmsg4: 200,
    recvmsg6: 200,
    getpeername4: 100,
    getpeername6: 100,
  },
  tc: { ingress_l2: 45_000, ingress_l3: 45_000, egress_l2: 8000, egress_l3: 8000 },
  destroy: { udp: 2200, tcp: 2200 },
  find: { udp: 2200, tcp: 2200 },
};

for (const file of ["sock", "tc", "destroy", "find"] as const) {
  // Libraries stay loaded. Of kernels without bpf_sock_destroy: see below.
  const options = { sanitizeResources: false, ignore: file === "destroy" && !isLinux(6, 5) };
  Deno.test(`the verifier goes through few instructions of ${file}.bpf.c`, options, async (t) => {
    using object = loadAlone(file);
    const limits = mostInstructions[file];
    assert.deepEqual(object.programNames.toSorted(), Object.keys(limits).toSorted());
    for (const name of object.programNames) {
      using program = object.program(name);
      const count = program.verifiedInstructions;
      await t.step(`${name}: ${count}`, () => assert(count > 0 && count <= (limits[name] ?? 0)));
    }
  });
}

Deno.test("kernels before Linux 6.5 let no program end sockets", { sanitizeResources: false }, () => {
  const load = () => loadAlone("destroy")[Symbol.dispose]();
  if (isLinux(6, 5)) load();
  else assert.throws(load, KernelError);
});

Deno.test(
  "links to devices are found where Linux has them, from 6.6 on",
  { sanitizeResources: false },
  () => {
    using object = loadAlone("tc");
    using program = object.program("ingress_l2");
    assert.equal(hasDeviceLinks(program), isLinux(6, 6));
  },
);
