import type { Requirement } from "../../core/backend/contract.ts";
import { KernelError } from "../../ffi/errors.ts";
import * as nft from "../nf_tables/constants.ts";
import {
  addressTypes,
  concatenatedRanges,
  CONNECTION_TRACKING,
  MASQUERADING,
  REJECTING,
  tablesAndSets,
} from "../nf_tables/common_features.ts";
import { writeTable } from "../nf_tables/fixed/table.ts";
import { type Probe, tableProbe } from "../nf_tables/probe.ts";
import type { Hook } from "../nf_tables/rules.ts";
import { FIREWALL_ALLOWED } from "../nf_tables/set/shared.ts";
import { UseCounts } from "../use_counts.ts";
import type { CompileOptions } from "./compile.ts";
import { DummyDevice } from "./device/dummy_device.ts";
import type { IpvsOptions } from "./options.ts";
import { Balancer } from "./servers/balancer.ts";
import { IPVS_TABLE, TABLE } from "./tables/chains.ts";
import { IPVS_IPS, setsOf } from "./tables/sets.ts";
import { compileChanges, updatesOf } from "./update.ts";

const INPUT: Hook = { type: "filter", number: nft.NF_INET_LOCAL_IN, priority: nft.NF_IP_PRI_FILTER };

/** They make no difference to the table. */
const COMPILE_OPTIONS: CompileOptions = { scheduler: "rr", localFallback: false };

/** Finds out which features of the mode's tables the kernel lacks. */
export const probeTables: Probe = tableProbe(TABLE, [
  tablesAndSets("tables and sets", (family) => setsOf(family).filter(({ name }) => name === IPVS_IPS)),
  concatenatedRanges((family) => setsOf(family).filter(({ name }) => name === FIREWALL_ALLOWED)),
  CONNECTION_TRACKING,
  addressTypes(INPUT),
  MASQUERADING,
  REJECTING,
], (batch, family, { interfaceAddresses, ...others }, plans) => {
  // The mode serves node ports address by address.
  const settings = { ...others, interfaceAddresses, nodePorts: interfaceAddresses };
  const state = { family, settings, uses: new UseCounts() };
  const changes = compileChanges(plans.map((plan) => ({ new: plan })), [state], COMPILE_OPTIONS);
  const elements = updatesOf([state], changes).flatMap(({ elements }) => elements.added);
  writeTable(IPVS_TABLE, batch, { family, settings, elements });
});

/** Differs from kube-ipvs0, so that a probe leaves that alone. At most IFNAMSIZ - 1 bytes. */
const PROBE_DEVICE = "kube-ipvs-probe";

/**
 * Finds out whether IPVS works with the configured scheduler. The kernel loads the modules that this takes.
 */
export async function probeBalancer(options: IpvsOptions): Promise<Requirement> {
  const scheduler = options.scheduler || "rr";
  return await requirement(
    `IPVS with the scheduler ${scheduler}`,
    "a virtual server can be added",
    async () => {
      using balancer = await Balancer.open();
      await balancer.tryScheduler(scheduler, ["IPv4"]);
    },
  );
}

/** Finds out whether a device for the service addresses can be created. */
export async function probeDevice(): Promise<Requirement> {
  return await requirement("dummy devices", "one can be made", async () => {
    using device = new DummyDevice(undefined, PROBE_DEVICE);
    await device.ensure();
    await device.delete();
  });
}

async function requirement(name: string, detail: string, attempt: () => Promise<void>): Promise<Requirement> {
  try {
    await attempt();
    return { name, found: true, detail, severity: "required" };
  } catch (error) {
    if (!(error instanceof KernelError)) throw error;
    const { problem, fix } = error;
    return {
      name,
      found: false,
      detail: problem,
      severity: "required",
      ...(fix === undefined ? {} : { fix }),
    };
  }
}
