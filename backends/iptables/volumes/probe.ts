import type { Requirement } from "../../../core/backend/contract.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { tableProbe } from "../../nf_tables/probe.ts";
import { hasTable, TABLE, writeTable } from "./table.ts";

const probeTable = tableProbe(TABLE, [], (batch, family, settings, plans) => {
  if (hasTable(settings)) writeTable(batch, family, plans);
});

/** Finds out whether the kernel can count packets and bytes. */
export async function probeVolumes(
  client: NetlinkClient,
  families: readonly TableFamily[],
): Promise<Requirement> {
  const missing = (await probeTable(client, families)).find(({ found }) => !found);
  return {
    name: "packets and bytes per service",
    severity: "optional",
    found: missing === undefined,
    detail: missing === undefined
      ? "the kernel accepts the rules that count"
      : `--traffic-metrics=full counts connections only. ${missing.name}: ${missing.detail}`,
  };
}
