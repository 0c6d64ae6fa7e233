import { errnoName, errnoOf, errnoText } from "../../ffi/errno.ts";
import type { NetlinkClient } from "../../ffi/netlink/client.ts";
import type { Acknowledgement } from "../../ffi/netlink/reader.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import type { Requirement, Severity } from "../../core/backend/contract.ts";
import type { Batch } from "./batch.ts";
import type { TableFamily } from "./families.ts";

/** One thing the tables of a mode are made of. */
export interface Feature<Changes extends Batch> {
  readonly name: string;
  /** Kernel options, or the version that brought it. */
  readonly from: string;
  /** "required" when left out. */
  readonly severity?: Severity;
  write(batch: Changes, family: TableFamily): void;
}

export interface Attempts<Changes extends Batch> {
  readonly batch: new (message: MessageWriter, firstSeq: number) => Changes;
  readonly families: readonly TableFamily[];
  readonly features: readonly Feature<Changes>[];
  /** Writes a change that the kernel must refuse. */
  refuse(batch: Changes, family: TableFamily): void;
}

/**
 * Tries everything in one batch whose last message the kernel must refuse: it tells of every refusal, and commits
 * nothing.
 */
export async function probeFeatures<Changes extends Batch>(
  client: NetlinkClient,
  { batch: Batch, families, features, refuse }: Attempts<Changes>,
): Promise<readonly Requirement[]> {
  const { message, firstSeq } = client.beginBatch();
  const batch = new Batch(message, firstSeq);
  const tried: { feature: Feature<Changes>; family: TableFamily; from: number; to: number }[] = [];
  for (const family of families) {
    for (const feature of features) {
      const from = batch.count;
      feature.write(batch, family);
      tried.push({ feature, family, from, to: batch.count });
    }
  }
  const [anyFamily] = families;
  if (anyFamily !== undefined) refuse(batch, anyFamily);
  const bytes = batch.end();
  client.endBatch(batch.count);
  const errors = await client.sendLargeBatch(bytes);

  const basics = basicRequirements(errors);
  if (basics.some(({ found }) => !found)) return basics;
  const missing = (feature: Feature<Changes>) =>
    tried.flatMap((attempt) => {
      const error = errors.find(({ seq }) => seq >= firstSeq + attempt.from && seq < firstSeq + attempt.to);
      return attempt.feature === feature && error !== undefined ? [{ family: attempt.family, error }] : [];
    });
  return [...basics, ...features.map((feature) => requirement(feature, missing(feature)))];
}

const PRESENT = "nf_tables in the kernel";
const PRIVILEGE = "CAP_NET_ADMIN";

/** When there is no way to talk to nf_tables at all. */
export function noNetfilter(reason: string): Requirement {
  return {
    name: PRESENT,
    severity: "required",
    found: false,
    detail: `${reason}. The kernel needs CONFIG_NF_TABLES and CONFIG_NETFILTER_NETLINK`,
  };
}

function basicRequirements(errors: readonly Acknowledgement[]): readonly Requirement[] {
  const refused = (name: string) => errors.some(({ errno }) => errno === errnoOf(name));
  if (refused("EPERM")) {
    return [{
      name: PRIVILEGE,
      severity: "required",
      found: false,
      detail:
        "the kernel answers EPERM: give the unit or the container this capability in its network namespace " +
        "(see docs/operations.md#privileges)",
    }];
  }
  const privilege: Requirement = {
    name: PRIVILEGE,
    severity: "required",
    found: true,
    detail: "the kernel takes our changes",
  };
  // The batch itself is refused, before any message in it.
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
  if (missing.length === 0) return { name, severity, found: true, detail: "the kernel takes them" };
  const answers = missing.map(({ family, error }) =>
    `${errnoName(error.errno)} (${errnoText(error.errno)}) for ${family.family}`
  );
  const detail = `the kernel answers ${answers.join(", ")}. It comes with ${from}`;
  return { name, severity, found: false, detail };
}
