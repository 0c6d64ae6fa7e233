import assert from "node:assert/strict";
import { effectiveCapabilities, explainNetAdminDenial } from "../../../ffi/system/capabilities.ts";

Deno.test("effective capabilities are read from /proc, the high ones too", () => {
  const held = (
    hex: string,
  ) => [...effectiveCapabilities(() => `Name:\tproxy\nCapEff:\t${hex}\nSeccomp:\t0\n`) ?? []];
  assert.deepEqual(held("0000000000001000"), ["CAP_NET_ADMIN"]);
  assert.deepEqual(held("000000c000200000"), ["CAP_SYS_ADMIN", "CAP_PERFMON", "CAP_BPF"]);
  assert.deepEqual(held("0000000000000000"), []);
});

Deno.test("capabilities are unknown without /proc, and this process has some answer", () => {
  assert.equal(effectiveCapabilities(() => "Name:\tproxy\n"), undefined);
  assert.equal(
    effectiveCapabilities(() => {
      throw new Deno.errors.NotFound();
    }),
    undefined,
  );
  assert(effectiveCapabilities() instanceof Set);
});

Deno.test("a denial is explained by a missing capability only if it is missing", () => {
  assert.match(explainNetAdminDenial(new Set()), /^The process lacks CAP_NET_ADMIN .*#privileges/);
  assert.match(
    explainNetAdminDenial(new Set(["CAP_NET_ADMIN"])),
    /^The process has CAP_NET_ADMIN, so .*user namespace.*security module/,
  );
});
