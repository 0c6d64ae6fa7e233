import type { NativeText } from "../../core/backend/contract.ts";
import { type Address, addressBits, formatAddress, formatSocketAddress } from "../../core/net/address.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { TableText } from "../nf_tables/text/table_text.ts";
import type { BalancedServer } from "./compile.ts";
import type { CompiledState } from "./compile_all.ts";
import { SERVICE_DEVICE } from "./device/dummy_device.ts";
import * as ipvs from "./protocol/constants.ts";
import type { VirtualServer } from "./servers/virtual_server.ts";
import { IPVS_TABLE, TABLE } from "./tables/chains.ts";
import { serversOf, updatesOf } from "./update.ts";

/** Renders the state as input of ipvsadm, nft and ip. */
export function nativeText({ families, changes }: CompiledState): readonly NativeText[] {
  const updates = updatesOf(families, changes);
  const tables = updates.map(({ family, settings, elements }) => {
    const table = new TableText(TABLE, family);
    writeTable(IPVS_TABLE, table, { family, settings, elements: elements.added });
    return table.text();
  });
  const addresses = updates.flatMap(({ addresses }) => addresses.added);
  return [
    { command: "ipvsadm -R", text: serversOf(changes).map(serverText).join("") },
    { command: "nft -f -", text: tables.join("\n") },
    { command: "ip -batch -", text: deviceText(addresses) },
  ];
}

const SERVICE_OPTIONS = { TCP: "-t", UDP: "-u", SCTP: "--sctp-service" } as const;

/** Names of the flags of every scheduler: `ipvsadm --sched-flags`. */
const FLAGS = [
  [ipvs.IP_VS_SVC_F_SCHED1, "flag-1"],
  [ipvs.IP_VS_SVC_F_SCHED2, "flag-2"],
] as const;

function serverText(server: BalancedServer): string {
  const service = `${SERVICE_OPTIONS[server.protocol]} ${formatSocketAddress(server.address, server.port)}`;
  const realServers = server.realServers.map(({ address, port, weight }) =>
    `-a ${service} -r ${formatSocketAddress(address, port)} -m -w ${weight}\n`
  );
  return [`-A ${service} ${optionsOf(server)}\n`, ...realServers].join("");
}

function optionsOf({ scheduler, persistenceSeconds, flags }: VirtualServer): string {
  const names = FLAGS.filter(([flag]) => (flags & flag) !== 0).map(([, name]) => name);
  return [
    `-s ${scheduler}`,
    ...(persistenceSeconds === 0 ? [] : [`-p ${persistenceSeconds}`]),
    ...(names.length === 0 ? [] : [`-b ${names.join(",")}`]),
  ].join(" ");
}

function deviceText(addresses: readonly Address[]): string {
  const lines = addresses.map((address) =>
    `address add ${formatAddress(address)}/${addressBits(address)} dev ${SERVICE_DEVICE}\n`
  );
  return [`link add ${SERVICE_DEVICE} type dummy\n`, ...lines].join("");
}
