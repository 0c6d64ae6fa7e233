import { BackendError, type NativeText, type PlanChange } from "../../../core/backend/contract.ts";
import { changesOfFamily } from "../../../core/backend/plan_changes.ts";
import type { ServiceTraffic } from "../../../core/backend/traffic.ts";
import type { DesiredState, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import type { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import type { ChangeList } from "../../change_list.ts";
import { TableBatch } from "../../nf_tables/batch.ts";
import type { NfTables } from "../../nf_tables/connection.ts";
import { TABLE_FAMILIES, type TableFamily, tableFamilyOf } from "../../nf_tables/families.ts";
import { compareTable } from "../../nf_tables/image/describe_changes.ts";
import { explainRejection } from "../../nf_tables/rejection.ts";
import { readSchemas } from "../../nf_tables/schema.ts";
import { type Element, ElementLists } from "../../nf_tables/set/element.ts";
import { TableText } from "../../nf_tables/text/table_text.ts";
import { assignCounters } from "../../nf_tables/traffic/assign.ts";
import {
  type CountingTable,
  deleteCounters,
  obsoleteCounters,
  staleCounters,
} from "../../nf_tables/traffic/obsolete.ts";
import { readTableCounters } from "../../nf_tables/traffic/read.ts";
import { VOLUMES } from "../../nf_tables/traffic/volumes.ts";
import { describeElement, elementsOf, hasTable, setsOf, TABLE, writeTable } from "./table.ts";

/**
 * Keeps the tables that count packets and bytes. Services do not depend on them: if the kernel rejects them, nothing is
 * counted.
 */
export class VolumeTables {
  readonly #kernel: NfTables;
  /** Families whose table is in force. */
  #families: readonly TableFamily[] = [];

  constructor(kernel: NfTables) {
    this.#kernel = kernel;
  }

  /** Makes the tables hold the frontends of the plans, and removes those of other families. @returns warnings. */
  async reconcile(desired: DesiredState): Promise<readonly string[]> {
    const wanted = familiesOf(desired);
    this.#families = [];
    try {
      const schemas = await readSchemas(this.#kernel.client, TABLE.name);
      const stale = await this.#staleCounters(wanted.filter(({ nfproto }) => schemas.has(nfproto)), desired);
      const batch = this.#kernel.beginTable(TABLE);
      for (const family of TABLE_FAMILIES) {
        const actual = schemas.get(family.nfproto);
        if (wanted.includes(family)) writeTable(batch, family, plansOf(desired, family), actual);
        else if (actual !== undefined) batch.removeTable(family);
        deleteCounters(batch, countingTable(family), stale.get(family) ?? new Set());
      }
      await this.#commit(batch);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      return [`packets and bytes of services are not counted: ${error.message}`];
    }
    this.#families = wanted;
    return [];
  }

  /** Follows changes of frontends. */
  async apply(changes: readonly PlanChange[]): Promise<void> {
    const obsolete = new Map<TableFamily, ReadonlySet<string>>();
    for (const family of this.#families) {
      const own = changesOfFamily(changes, family.family);
      obsolete.set(family, await obsoleteCounters(this.#kernel.client, countingTable(family), own));
    }
    const batch = this.#kernel.beginTable(TABLE);
    for (const [family, counters] of obsolete) {
      writeChanges(batch, family, changesOfFamily(changes, family.family));
      deleteCounters(batch, countingTable(family), counters);
    }
    if (batch.isEmpty) return;
    try {
      await this.#commit(batch);
    } catch (error) {
      if (!(error instanceof BackendError)) throw error;
      // The services are in force. A reconcile writes the tables again.
      this.#kernel.reportDrift(error.message);
    }
  }

  /** Adds packets and bytes to the traffic of service ports. */
  async addTo(
    services: readonly ServiceTraffic[],
    client: NetlinkClient,
    plans: ReadonlyMap<PlanKey, ServicePortPlan>,
  ): Promise<readonly ServiceTraffic[]> {
    if (this.#families.length === 0) return services;
    const schemas = await readSchemas(client, TABLE.name);
    const volumes = new Map<string, ServiceTraffic>();
    for (const family of this.#families) {
      const sets = VOLUMES.filter((set) => schemas.get(family.nfproto)?.sets.has(set));
      const { frontends } = await readTableCounters(client, family, TABLE.name, sets);
      const own = () => plans.values().filter((plan) => plan.family === family.family);
      const assigned = await assignCounters(frontends, own);
      for (const traffic of assigned.services) volumes.set(idOf(traffic), traffic);
    }
    const known = services.map((traffic) => {
      const { toEndpoints, fromEndpoints } = volumes.get(idOf(traffic)) ?? {};
      volumes.delete(idOf(traffic));
      return {
        ...traffic,
        ...(toEndpoints === undefined ? {} : { toEndpoints }),
        ...(fromEndpoints === undefined ? {} : { fromEndpoints }),
      };
    });
    return [...known, ...volumes.values()];
  }

  /** Describes what a reconcile would change. */
  async compare(client: NetlinkClient, desired: DesiredState, changes: ChangeList): Promise<void> {
    const wanted = familiesOf(desired);
    const schemas = await readSchemas(client, TABLE.name);
    for (const family of TABLE_FAMILIES) {
      const actual = schemas.get(family.nfproto);
      if (wanted.includes(family)) {
        const batch = new TableBatch(TABLE, new MessageWriter(), 1);
        writeTable(batch, family, plansOf(desired, family));
        await compareTable(client, { family, name: TABLE.name, describeElement }, batch, actual, changes);
      } else if (actual !== undefined) {
        changes.remove(() => describeTable(family));
      }
    }
  }

  /** The tables in the kernel. */
  async leftovers(): Promise<readonly string[]> {
    return (await this.#kernel.familiesOf(TABLE.name)).map(describeTable);
  }

  async cleanup(): Promise<void> {
    this.#families = [];
    const families = await this.#kernel.familiesOf(TABLE.name);
    if (families.length === 0) return;
    const batch = this.#kernel.beginTable(TABLE);
    for (const family of families) batch.removeTable(family);
    await this.#commit(batch);
  }

  async #staleCounters(
    families: readonly TableFamily[],
    { plans }: DesiredState,
  ): Promise<ReadonlyMap<TableFamily, ReadonlySet<string>>> {
    const stale = new Map<TableFamily, ReadonlySet<string>>();
    const { client } = this.#kernel;
    for (const family of families) {
      stale.set(family, await staleCounters(client, countingTable(family), plans.values()));
    }
    return stale;
  }

  async #commit(batch: TableBatch): Promise<void> {
    if (batch.isEmpty) return;
    await this.#kernel.commit(batch, (bytes, answer) =>
      explainRejection(bytes, answer, {
        mode: "iptables",
        table: TABLE.name,
        rejectedPlans: () => [],
        describeElement,
        onDrift: () => {},
      }));
  }
}

/** The tables as text, if the settings have them. */
export function volumeTexts(desired: DesiredState): readonly NativeText[] {
  const texts = familiesOf(desired).map((family) => {
    const table = new TableText(TABLE, family);
    writeTable(table, family, plansOf(desired, family));
    return table.text();
  });
  return texts.length === 0 ? [] : [{ command: "nft -f -", text: texts.join("\n") }];
}

function writeChanges(batch: TableBatch, family: TableFamily, changes: readonly PlanChange[]): void {
  const [removed, added] = [new Map<string, Element>(), new Map<string, Element>()];
  const collect = (plan: ServicePortPlan | undefined, elements: Map<string, Element>) => {
    for (const element of plan === undefined ? [] : elementsOf(plan)) {
      elements.set(`${element.set} ${element.key}`, element);
    }
  };
  for (const { old, new: next } of changes) {
    collect(old, removed);
    collect(next, added);
  }
  const specs = setsOf(family);
  const [ensure, remove] = [
    new ElementLists(batch, family, "ensure", specs),
    new ElementLists(batch, family, "delete", specs),
  ];
  for (const [id, element] of added) if (!removed.has(id)) ensure.add(element);
  for (const [id, element] of removed) if (!added.has(id)) remove.add(element);
  ensure.flush();
  remove.flush();
}

function familiesOf({ settings }: DesiredState): readonly TableFamily[] {
  return settings.filter(hasTable).map(({ family }) => tableFamilyOf(family));
}

function plansOf({ plans }: DesiredState, { family }: TableFamily): readonly ServicePortPlan[] {
  return [...plans.values()].filter((plan) => plan.family === family);
}

/** Rules count at every address of the node, whatever node ports are restricted to. */
function countingTable(family: TableFamily): CountingTable {
  return { family, name: TABLE.name, sets: VOLUMES, nodePorts: "all" };
}

function describeTable({ keyword }: TableFamily): string {
  return `table ${keyword} ${TABLE.name}`;
}

function idOf({ key, frontend }: ServiceTraffic): string {
  return `${key} ${frontend}`;
}
