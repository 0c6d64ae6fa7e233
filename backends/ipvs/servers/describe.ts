import { type Address, formatAddress } from "../../../core/net/address.ts";
import type { SetDifference } from "../../difference.ts";
import type { TableFamily } from "../../nf_tables/families.ts";
import { SERVICE_DEVICE } from "../device/dummy_device.ts";
import type { LinkAddress } from "../device/link_address.ts";
import { describeCommand, type IpvsCommand } from "../protocol/encode.ts";
import { TABLE } from "../tables/chains.ts";
import type { ServerDifference } from "./diff.ts";

export interface Differences {
  /** Families without a table. An existing table is replaced without a comparison. */
  readonly missingTables: readonly TableFamily[];
  readonly servers: ServerDifference;
  readonly addresses: SetDifference<Address, LinkAddress>;
}

/** Renders for the log what a reconcile does. */
export function describeDifferences({ missingTables, servers, addresses }: Differences): string[] {
  const lines = { added: [] as string[], changed: [] as string[], removed: [] as string[] };
  describeByKind(servers, addresses, {
    add: (describe) => lines.added.push(describe()),
    change: (describe) => lines.changed.push(describe()),
    remove: (describe) => lines.removed.push(describe()),
  });
  const tables = missingTables.map(({ keyword }) => `add table ${keyword} ${TABLE.name}`);
  return [...tables, ...lines.added, ...lines.changed, ...lines.removed];
}

/** Renders what changes IPVS and the device, by the kind of the change. */
export function describeByKind(
  { added, changed, removed, realServers }: ServerDifference,
  addresses: SetDifference<Address, LinkAddress>,
  to: Readonly<Record<"add" | "change" | "remove", (describe: () => string) => void>>,
): void {
  const each = (kind: keyof typeof to, commands: readonly IpvsCommand[]) => {
    for (const command of commands) to[kind](() => describeCommand(command));
  };
  each("add", added.map((server) => ({ verb: "add", server })));
  each("add", realServers.added.map((assignment) => ({ verb: "add real", ...assignment })));
  for (const address of addresses.added) {
    to.add(() => `add address ${formatAddress(address)} to ${SERVICE_DEVICE}`);
  }
  each("change", changed.map((server) => ({ verb: "change", server })));
  each("change", realServers.changed.map((assignment) => ({ verb: "change real", ...assignment })));
  each("remove", removed.map((server) => ({ verb: "remove", server })));
  each("remove", realServers.removed.map((assignment) => ({ verb: "remove real", ...assignment })));
  for (const { address } of addresses.removed) {
    to.remove(() => `remove address ${formatAddress(address)} from ${SERVICE_DEVICE}`);
  }
}
