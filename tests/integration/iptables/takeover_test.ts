import assert from "node:assert/strict";
import type { Lab } from "../../lab/lab.ts";
import { missingPeers } from "../support/takeover_lab.ts";
import { takeOverInTurn, takeoverName } from "../support/takeover_sequence.ts";
import { normalised, parseListing } from "./support/listing.ts";

Deno.test({
  name: takeoverName("iptables"),
  ignore: missingPeers !== "",
  fn: () => takeOverInTurn("iptables", listedRules),
});

/** All chains and rules of both families, as stock iptables lists them. */
async function listedRules(lab: Lab): Promise<readonly string[]> {
  const families = await Promise.all(["iptables", "ip6tables"].map(async (command) => {
    const { code, stdout, stderr } = await lab.run("node", [`${command}-nft-save`]);
    assert.deepEqual({ code, stderr }, { code: 0, stderr: "" });
    return normalised(parseListing(stdout)).map((line) => `${command} ${line}`);
  }));
  return families.flat();
}
