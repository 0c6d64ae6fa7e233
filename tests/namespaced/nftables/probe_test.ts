import assert from "node:assert/strict";
import { NfTables } from "../../../backends/nf_tables/connection.ts";
import { expression, protocol } from "../../../backends/nf_tables/expressions.ts";
import { tableProbe } from "../../../backends/nf_tables/probe.ts";
import { rule } from "../../../backends/nf_tables/rules.ts";
import { TABLE } from "../../../backends/nftables/names.ts";
import { writeRefill } from "../../../backends/nftables/refill.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Run by rejections_test.ts in its own network namespace. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

/** `byteorder reg 1 = hton(reg 1, 3, 1)`, which no kernel accepts: it converts numbers of 2, 4 and 8 bytes. */
const ofThreeBytes = expression("byteorder", (message) => {
  message.attrU32be(1, 1); // NFTA_BYTEORDER_SREG, linux/netfilter/nf_tables.h
  message.attrU32be(2, 1); // NFTA_BYTEORDER_DREG
  message.attrU32be(3, 1); // NFTA_BYTEORDER_OP
  message.attrU32be(4, 1); // NFTA_BYTEORDER_LEN
  message.attrU32be(5, 3); // NFTA_BYTEORDER_SIZE
});

Deno.test({
  name: "the probe lets the kernel check the rules of the table, and leaves nothing",
  ...keepsLibraries,
  async fn() {
    const probe = tableProbe(TABLE, [], (batch, family, settings, plans) => {
      writeRefill(batch, family, settings, plans, { how: "create" });
      batch.addRules(family, { name: "cluster-ips-check", rules: [rule([protocol.load(0), ofThreeBytes])] });
    });
    using kernel = new NfTables();
    const missing = (await kernel.probe(probe)).filter(({ found }) => !found);
    assert.deepEqual(missing.map(({ name }) => name), ["all rules of the mode"]);
    assert.match(
      missing[0]?.detail ?? "",
      /^the kernel rejects one: add a rule of chain cluster-ips-check of table ip kube-proxy: E[A-Z]+ \(/,
    );
    assert.equal(await run("nft", "list", "ruleset"), "");
  },
});
