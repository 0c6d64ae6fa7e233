import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.ts";
import { missingPeers } from "./support/takeover_lab.ts";
import { takeOverInTurn, takeoverName } from "./support/takeover_sequence.ts";

Deno.test({
  name: takeoverName("nftables"),
  ignore: missingPeers !== "",
  fn: () => takeOverInTurn("nftables", partsOfTables),
});

/** Chains, sets and maps of the tables: "chain ip cluster-3", "set ip6 cluster-ips" … */
async function partsOfTables(lab: Lab): Promise<readonly string[]> {
  const parts = [];
  for (const family of ["ip", "ip6"]) {
    const { code, stdout, stderr } = await lab.run("node", ["nft", "list", "table", family, "kube-proxy"]);
    assert.equal(code, 0, stderr);
    for (const [, type, name] of stdout.matchAll(/^\t(chain|set|map) (\S+) \{/gm)) {
      parts.push(`${type} ${family} ${name}`);
    }
  }
  return parts.sort();
}
