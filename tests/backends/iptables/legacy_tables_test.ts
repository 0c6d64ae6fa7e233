import assert from "node:assert/strict";
import { chainNames } from "../../../backends/x_tables/entries.ts";
import { type LegacyTable, legacyWarning } from "../../../backends/x_tables/tables.ts";

const empty: LegacyTable = { family: "IPv4", table: "nat", rules: 0, chains: [], kubeChains: [] };

Deno.test("empty legacy tables and chains of kubelet cause no warning", () => {
  assert.equal(legacyWarning([]), undefined);
  assert.equal(legacyWarning([empty]), undefined);
  const hint = { ...empty, table: "mangle", kubeChains: ["KUBE-IPTABLES-HINT", "KUBE-KUBELET-CANARY"] };
  assert.equal(legacyWarning([hint]), undefined);
});

Deno.test("a warning names kube-proxy's chains in legacy tables and how to remove them", () => {
  const kubeChains = ["KUBE-SERVICES", "KUBE-SVC-XPGD46QRK7WJZT7O", "KUBE-KUBELET-CANARY"];
  const warning = legacyWarning([{ ...empty, rules: 9, kubeChains }, {
    ...empty,
    table: "raw",
    rules: 1,
  }]);
  assert.match(warning ?? "", /^kube-proxy's rules are in .*: nat \(IPv4\) has 3 chains\. .*--cleanup/);
});

Deno.test("a warning counts the rules of other programs in legacy tables and says how to list them", () => {
  const warning = legacyWarning([empty, {
    family: "IPv6",
    table: "filter",
    rules: 1,
    chains: [],
    kubeChains: [],
  }]);
  assert.match(warning ?? "", /^other programs .*: filter \(IPv6\) has 1 rule\. .*iptables-legacy-save/);
});

Deno.test("invalid entries end the search for chains", () => {
  assert.deepEqual(chainNames("IPv4", new Uint8Array(0)), []);
  assert.deepEqual(chainNames("IPv4", new Uint8Array(200)), [], "an entry of length 0");
  assert.deepEqual(chainNames("IPv6", new Uint8Array(100).fill(255)), [], "a truncated entry");
});
