import { type Comparison } from "../../core/backend/contract.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { ChangeList } from "../change_list.ts";
import { TableBatch } from "../nf_tables/batch.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { compareTable, describeUnwantedTables } from "../nf_tables/image/describe_changes.ts";
import { readSchemas } from "../nf_tables/schema.ts";
import type { CompiledState } from "./compile_all.ts";
import type { DummyDevice } from "./device/dummy_device.ts";
import { diffAddresses } from "./device/link_address.ts";
import { describeByKind } from "./servers/describe.ts";
import { type ActualServer, diffServers } from "./servers/diff.ts";
import { IPVS_TABLE, TABLE } from "./tables/chains.ts";
import { describeElement } from "./tables/describe_element.ts";
import { serversOf, updatesOf } from "./update.ts";

export interface ComparedState extends Omit<CompiledState, "servers"> {
  /** The virtual servers of the kernel that are not another program's. */
  readonly actual: readonly ActualServer[];
}

/** Describes what a reconcile would change in the tables, in IPVS and on the device. */
export async function compareWithKernel(
  client: NetlinkClient,
  device: DummyDevice,
  { families, changes: compiled, actual }: ComparedState,
): Promise<Comparison> {
  const changes = new ChangeList();
  const schemas = await readSchemas(client, TABLE.name);
  const updates = updatesOf(families, compiled);
  for (const { family, settings, elements } of updates) {
    const batch = new TableBatch(TABLE, new MessageWriter(), 1);
    writeTable(IPVS_TABLE, batch, { family, settings, elements: elements.added });
    const table = { family, name: TABLE.name, describeElement };
    await compareTable(client, table, batch, schemas.get(family.nfproto), changes);
  }
  describeUnwantedTables(TABLE.name, schemas, updates.map(({ settings }) => settings), changes);
  const bound = await device.addresses(await device.find());
  const addresses = updates.flatMap(({ addresses }) => addresses.added)
    .filter((address) => !bound.others.has(address));
  describeByKind(diffServers(serversOf(compiled), actual), diffAddresses(addresses, bound.device), changes);
  const isEmpty = schemas.size === 0 && actual.length === 0 && bound.device.length === 0;
  return changes.comparison(isEmpty ? "nothing" : "ours");
}
