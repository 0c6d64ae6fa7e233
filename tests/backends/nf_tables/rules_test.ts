import assert from "node:assert/strict";
import * as ipvs from "../../../backends/ipvs/tables/chains.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { fixedChains } from "../../../backends/nftables/chains.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { everyKindOfSettings } from "../everything.ts";

Deno.test("no rule converts the byte order of one byte, which kernels reject since Debian's 6.12.117", () => {
  for (const settings of everyKindOfSettings.flat()) {
    const family = tableFamilyOf(settings.family);
    for (const { name, rules } of [...fixedChains(family, settings), ...ipvs.chainsOf(family, settings)]) {
      const message = new MessageWriter(65_536);
      for (const { expressions } of rules) for (const write of expressions) write(message, 0);
      assert(!new TextDecoder("latin1").decode(message.bytes()).includes("byteorder"), name);
    }
  }
});
