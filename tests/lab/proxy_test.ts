import assert from "node:assert/strict";
import { overriding } from "./proxy.ts";

Deno.test("flags of one run override those that all share, and can leave them out", () => {
  const shared = ["--cluster-cidr=10.244.1.0/24", "--proxy-mode=nftables"];
  assert.deepEqual(overriding(shared, []), shared);
  assert.deepEqual(overriding(shared, ["--masquerade-all", "--cluster-cidr=10.0.0.0/8"]), [
    "--proxy-mode=nftables",
    "--masquerade-all",
    "--cluster-cidr=10.0.0.0/8",
  ]);
  assert.deepEqual(overriding(shared, ["no --cluster-cidr"]), ["--proxy-mode=nftables"]);
});
