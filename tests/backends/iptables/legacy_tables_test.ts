import assert from "node:assert/strict";
import { chainNames } from "../../../backends/iptables/legacy/entries.ts";
import { type LegacyTable, legacyWarning } from "../../../backends/iptables/legacy/tables.ts";

const untouched: LegacyTable = { family: "IPv4", table: "nat", rules: 0, kubeChains: [] };

Deno.test("legacy tables that hold nothing are no reason for a warning, nor are chains of the kubelet", () => {
  assert.equal(legacyWarning([]), undefined);
  assert.equal(legacyWarning([untouched]), undefined);
  const hint = { ...untouched, table: "mangle", kubeChains: ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"] };
  assert.equal(legacyWarning([hint]), undefined);
});

Deno.test("kube-proxy's chains in legacy tables are named with what removes them", () => {
  const kubeChains = ["KUBE-SERVICES", "KUBE-SVC-XPGD46QRK7WJZT7O", "KUBE-KUBELET-CANARY"];
  const warning = legacyWarning([{ ...untouched, rules: 9, kubeChains }, {
    ...untouched,
    table: "raw",
    rules: 1,
  }]);
  assert.match(warning ?? "", /^kube-proxy's rules are in .*: nat \(IPv4\) has 3 chains\. .*--cleanup/);
});

Deno.test("rules of other programs in legacy tables are counted, and where to see them is said", () => {
  const warning = legacyWarning([untouched, { family: "IPv6", table: "filter", rules: 1, kubeChains: [] }]);
  assert.match(warning ?? "", /^other programs .*: filter \(IPv6\) has 1 rule\. .*iptables-legacy-save/);
});

Deno.test("entries that are not what they should be end the search for chains", () => {
  assert.deepEqual(chainNames("IPv4", new Uint8Array(0)), []);
  assert.deepEqual(chainNames("IPv4", new Uint8Array(200)), [], "an entry of no length");
  assert.deepEqual(chainNames("IPv6", new Uint8Array(100).fill(255)), [], "an entry that is cut off");
});
