import assert from "node:assert/strict";
import type { Lab } from "../lab/lab.ts";
import { takeTurns } from "./takeover_turns.ts";

takeTurns("nftables", partsOfTables);

/** "chain ip cluster-3", "set ip6 cluster-ips" …: what the tables consist of. */
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
