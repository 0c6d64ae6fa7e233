import type { Requirement, Severity } from "../../core/backend/contract.ts";
import type { NodeSettings, ServicePortPlan } from "../../core/plan/plan.ts";
import { explainNetAdminDenial } from "../../ffi/system/capabilities.ts";
import { errnoName, errnoOf, errnoText } from "../../ffi/errno.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import { lacksNfnetlink } from "../../ffi/netlink/nfnetlink.ts";
import { rejectionError } from "../../ffi/netlink/exchange.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import { sampleStates } from "../sample_services.ts";
import { type Batch, type Table, TableBatch } from "./batch.ts";
import type { TableFamily } from "./families.ts";
import { foreignTables, ownedTables } from "./owner.ts";
import { decodeRejection, describeRejection } from "./rejection.ts";
import type { Chain, Hook, Rule } from "./rules.ts";
import type { SetSpec } from "./set/spec.ts";

/** Finds out what the kernel supports. */
export type Probe = (
  client: NetlinkClient,
  families: readonly TableFamily[],
) => Promise<readonly Requirement[]>;

/** A kernel feature that a mode's tables use. */
export interface Feature<Changes extends Batch> {
  readonly name: string;
  /** Kernel modules with their options, or the first kernel version that has it. */
  readonly from: string;
  /** "required" when left out. */
  readonly severity?: Severity;
  write(batch: Changes, family: TableFamily): void;
}

export interface Attempts<Changes extends Batch> {
  /** Names of the tables that the mode writes. */
  readonly tables: readonly string[];
  /** The features are tried in these tables, so not in those that another program owns. */
  readonly inTables: boolean;
  readonly begin: (message: MessageWriter, firstSeq: number) => Changes;
  readonly families: readonly TableFamily[];
  readonly features: readonly Feature<Changes>[];
  /** Writes everything that the mode may program in a family, given settings and services (`sampleStates`). */
  writeAll(
    batch: Changes,
    family: TableFamily,
    settings: NodeSettings,
    plans: readonly ServicePortPlan[],
  ): void;
  /** Describes the change of a batch that the kernel rejected. */
  describe(batch: Uint8Array, answer: Acknowledgement): string;
  /** Writes a change that the kernel must reject. */
  reject(batch: Changes, family: TableFamily): void;
}

/**
 * Tries the features, and then the tables as a whole: a kernel can have all features and reject a rule nevertheless.
 */
export async function probeFeatures<Changes extends Batch>(
  client: NetlinkClient,
  attempts: Attempts<Changes>,
): Promise<readonly Requirement[]> {
  const { tables, inTables, families: all, features } = attempts;
  // Without CAP_NET_ADMIN tables cannot be listed. Then the batch is rejected for the same reason.
  const owned = await ownedTables(client, tables).catch(() => []);
  const families = inTables ? all.filter((one) => owned.every(({ family }) => family !== one)) : all;
  const tried: { feature: Feature<Changes>; family: TableFamily; from: number; to: number }[] = [];
  const { errors, firstSeq } = await attempt(client, attempts, families, (batch, family) => {
    for (const feature of features) {
      const from = batch.count;
      feature.write(batch, family);
      tried.push({ feature, family, from, to: batch.count });
    }
  });

  const basics = basicRequirements(errors);
  if (basics.some(({ found }) => !found)) return basics;
  const missing = (feature: Feature<Changes>) =>
    tried.flatMap((attempt) => {
      const error = errors.find(({ seq }) => seq >= firstSeq + attempt.from && seq < firstSeq + attempt.to);
      return attempt.feature === feature && error !== undefined ? [{ family: attempt.family, error }] : [];
    });
  const found = features.map((feature) => requirement(feature, missing(feature)));
  const lacksFeature = found.some((one) => !one.found && one.severity === "required");
  return [
    ...basics,
    ...found,
    // Without a feature, rules are rejected for lack of it.
    ...(lacksFeature || families.length === 0 ? [] : [await probeTables(client, attempts, families)]),
    ...(owned.length === 0 ? [] : [foreignTables(owned)]),
  ];
}

/** Tries the tables of sample services, with each kind of settings in a batch of its own. */
async function probeTables<Changes extends Batch>(
  client: NetlinkClient,
  attempts: Attempts<Changes>,
  families: readonly TableFamily[],
): Promise<Requirement> {
  const what = { name: "all rules of the mode", severity: "required" } as const;
  for (const { settings, plans } of sampleStates()) {
    const { errors: [first], bytes } = await attempt(client, attempts, families, (batch, family) => {
      const own = settings.filter((one) => one.family === family.family);
      const plansOfFamily = [...plans.values()].filter((plan) => plan.family === family.family);
      for (const one of own) attempts.writeAll(batch, family, one, plansOfFamily);
    });
    if (first !== undefined) {
      const { message } = rejectionError(attempts.describe(bytes, first), first);
      return { ...what, found: false, detail: `the kernel rejects one: ${message}` };
    }
  }
  return { ...what, found: true, detail: "the kernel accepts them" };
}

/**
 * Sends a batch whose last message the kernel must reject: it reports every rejected message and commits nothing.
 * @returns the batch, and the rejected messages except the last.
 */
async function attempt<Changes extends Batch>(
  client: NetlinkClient,
  { begin, reject }: Attempts<Changes>,
  families: readonly TableFamily[],
  write: (batch: Changes, family: TableFamily) => void,
): Promise<{ bytes: Uint8Array; firstSeq: number; errors: readonly Acknowledgement[] }> {
  const { message, firstSeq } = client.beginBatch();
  const batch = begin(message, firstSeq);
  for (const family of families) write(batch, family);
  const rejected = firstSeq + batch.count;
  const [anyFamily] = families;
  if (anyFamily !== undefined) reject(batch, anyFamily);
  const bytes = batch.end();
  client.endBatch(batch.count);
  const errors = await client.sendBatch(bytes);
  return { bytes, firstSeq, errors: errors.filter(({ seq }) => seq !== rejected) };
}

/** A feature that is tried by adding sets, or a rule to a chain of its own. */
export interface TableFeature {
  readonly name: string;
  /** Kernel options, or the first kernel version that has it. */
  readonly from: string;
  readonly sets?: (family: TableFamily) => readonly SetSpec[];
  readonly rule?: (family: TableFamily) => Rule;
  /** Hook of the chain that the rule is added to; undefined when the rule is allowed everywhere. */
  readonly hook?: Hook;
}

/** A table that never exists, because no probe is committed. */
const PROBE_TABLE = `kube-proxy-probe-${Deno.pid}`;

/**
 * A probe that tries features, and the mode's table, in a table that is never committed.
 * @param writeTable writes the mode's table in place of one that may exist.
 */
export function tableProbe(
  table: Table,
  features: readonly TableFeature[],
  writeTable: Attempts<TableBatch>["writeAll"],
): Probe {
  const tried = features.map((feature, index): Feature<TableBatch> => ({
    name: feature.name,
    from: feature.from,
    write: (batch, family) => {
      if (index === 0) batch.addTable(family);
      writeFeature(batch, family, feature, `probe-${index}`);
    },
  }));
  return (client, families) =>
    probeFeatures(client, {
      tables: [table.name],
      inTables: false,
      // Another name, because another program may own the table.
      begin: (message, firstSeq) => new TableBatch({ ...table, name: PROBE_TABLE }, message, firstSeq),
      families,
      features: tried,
      writeAll: writeTable,
      describe: (batch, answer) => {
        const rejection = decodeRejection(batch, answer);
        return rejection === undefined
          ? "change nf_tables"
          : describeRejection(table.name, rejection, [], () => undefined);
      },
      reject: (batch, family) => batch.deleteSet(family, "probe-that-does-not-exist"),
    });
}

function writeFeature(
  batch: TableBatch,
  family: TableFamily,
  { sets, rule, hook }: TableFeature,
  chainName: string,
): void {
  for (const spec of sets?.(family) ?? []) batch.addSet(family, { ...spec, name: `probe-${spec.name}` });
  if (rule === undefined) return;
  const chain: Chain = { name: chainName, rules: [rule(family)], ...(hook === undefined ? {} : { hook }) };
  batch.addChain(family, chain);
  batch.addRules(family, chain);
}

const PRESENT = "nf_tables in the kernel";
/** Name of the requirement that the process may program nf_tables. */
export const PRIVILEGE = "CAP_NET_ADMIN";

/** The answer when no socket could be opened. Only some errors mean that the kernel lacks the protocol. */
export function netfilterNotOpened(error: Error): Requirement {
  return lacksNfnetlink(error)
    ? noNetfilter(error.message)
    : { name: PRESENT, severity: "required", found: false, detail: `it cannot be reached: ${error.message}` };
}

/** The answer when the kernel offers no nf_tables at all. */
function noNetfilter(reason: string): Requirement {
  return {
    name: PRESENT,
    severity: "required",
    found: false,
    detail: `${reason}. The kernel needs CONFIG_NF_TABLES and CONFIG_NETFILTER_NETLINK`,
  };
}

function basicRequirements(errors: readonly Acknowledgement[]): readonly Requirement[] {
  if (errors.some(({ errno }) => errno === errnoOf("EPERM"))) {
    return [{
      name: PRIVILEGE,
      severity: "required",
      found: false,
      detail: `the kernel answers EPERM. ${explainNetAdminDenial()}`,
    }];
  }
  const privilege: Requirement = {
    name: PRIVILEGE,
    severity: "required",
    found: true,
    detail: "the kernel accepts our changes",
  };
  // Without nf_tables the kernel rejects the whole batch, with one error.
  const absent = errors.find(({ errno }) => errno === errnoOf("EOPNOTSUPP"));
  if (absent !== undefined && errors.length === 1) {
    return [privilege, noNetfilter(`the kernel answers ${errnoName(absent.errno)}`)];
  }
  return [privilege, { name: PRESENT, severity: "required", found: true, detail: "the kernel answers" }];
}

function requirement<Changes extends Batch>(
  { name, from, severity = "required" }: Feature<Changes>,
  missing: readonly { family: TableFamily; error: Acknowledgement }[],
): Requirement {
  if (missing.length === 0) return { name, severity, found: true, detail: "the kernel accepts them" };
  const answers = missing.map(({ family, error }) =>
    `${errnoName(error.errno)} (${errnoText(error.errno)}) for ${family.family}`
  );
  const detail = `the kernel rejects them: ${answers.join(", ")}. They require ${from}`;
  return { name, severity, found: false, detail, ...loading(from) };
}

/** The command that loads the kernel modules that a text names. */
export function loading(text: string): { readonly fix?: string } {
  // Options of the kernel are in capitals.
  const modules = text.match(/\b(?:nf|nft|xt|ipt|ip6t|nfnetlink)_[a-zA-Z0-9_]+/g) ?? [];
  return modules.length === 0 ? {} : { fix: `modprobe -a ${modules.join(" ")}` };
}
