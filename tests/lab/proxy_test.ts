import assert from "node:assert/strict";
import { mergeFlags } from "./proxy.ts";

Deno.test("flags of one run override shared flags and can remove them", () => {
  const shared = ["--cluster-cidr=10.244.1.0/24", "--proxy-mode=nftables"];
  assert.deepEqual(mergeFlags(shared, []), shared);
  assert.deepEqual(mergeFlags(shared, ["--masquerade-all", "--cluster-cidr=10.0.0.0/8"]), [
    "--proxy-mode=nftables",
    "--masquerade-all",
    "--cluster-cidr=10.0.0.0/8",
  ]);
  assert.deepEqual(mergeFlags(shared, ["no --cluster-cidr"]), ["--proxy-mode=nftables"]);
});
