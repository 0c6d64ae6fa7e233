import { readFileSync } from "node:fs";
import { UseCounts } from "../../../../backends/use_counts.ts";
import { IPVS_TABLE, TABLE } from "../../../../backends/ipvs/tables/chains.ts";
import { compileChanges, updatesOf } from "../../../../backends/ipvs/update.ts";
import { NfTables } from "../../../../backends/nf_tables/connection.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { writeTable } from "../../../../backends/nf_tables/fixed/table.ts";
import { readSchemas } from "../../../../backends/nf_tables/schema.ts";
import type { NodeSettings, ServicePortPlan } from "../../../../core/plan/plan.ts";
import { rejectionError } from "../../../../ffi/netlink/exchange.ts";

/**
 * To be run in a network namespace:
 *     tables_driver.ts write FILE     writes the tables for the settings and plans of the file
 *     tables_driver.ts schemas        prints the schema of each table as a line of JSON
 */
if (import.meta.main) await drive(Deno.args[0], Deno.args[1] ?? "");

export interface Desired {
  readonly settings: readonly NodeSettings[];
  readonly plans: readonly ServicePortPlan[];
}

async function drive(command: string | undefined, path: string): Promise<void> {
  using kernel = new NfTables();
  if (command === "write") await write(kernel, JSON.parse(readFileSync(path, "utf8")));
  if (command === "schemas") {
    const schemas = await readSchemas(kernel.client, TABLE.name);
    for (const [nfproto, { chains, sets, hasOthers }] of schemas) {
      console.log(
        JSON.stringify({ nfproto, chains: [...chains.keys()], sets: [...sets.keys()], hasOthers }),
      );
    }
  }
}

async function write(kernel: NfTables, { settings, plans }: Desired): Promise<void> {
  const batch = kernel.beginTable(TABLE);
  const families = settings.map((ofOne) => ({
    family: tableFamilyOf(ofOne.family),
    settings: ofOne,
    uses: new UseCounts(),
  }));
  const options = { scheduler: "", localFallback: false };
  const changes = compileChanges(plans.map((plan) => ({ new: plan })), families, options);
  for (const { family, settings, elements } of updatesOf(families, changes)) {
    writeTable(IPVS_TABLE, batch, { family, settings, elements: elements.added });
  }
  await kernel.commit(batch, (_, answer) => rejectionError(`add the ${answer.seq}th message`, answer));
}
