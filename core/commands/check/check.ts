import { describeRequirement, type Requirement } from "../../backend/contract.ts";
import type { ConfiguredMode } from "../../backend/mode.ts";
import type { Cell } from "../output/table.ts";

/** The result of `proxy check`. */
export interface CheckReport {
  /** The mode that would start; the first that was tried if `--proxy-mode=auto` finds none that works. */
  readonly mode: string;
  /** Why `--proxy-mode=auto` would select it, or why no mode can start; absent when the mode is named. */
  readonly modeReason?: string;
  /** It has what it requires. */
  readonly ok: boolean;
  readonly modes: readonly ModeReport[];
  /** Requirements of every mode on the node. */
  readonly node: readonly CheckedRequirement[];
}

export interface ModeReport {
  readonly mode: string;
  /** No required feature is missing. */
  readonly ok: boolean;
  readonly requirements: readonly CheckedRequirement[];
}

export interface CheckedRequirement {
  readonly name: string;
  readonly state: RequirementState;
  /** The evidence; for a missing feature also where it comes from. */
  readonly detail: string;
  /** The command that supplies a missing feature. */
  readonly fix?: string;
}

export type RequirementState = "ok" | "MISSING" | "WARNING" | "absent";

/** Tries which features the kernel and the privileges of this process provide for a mode. Changes nothing that is in force. */
export async function checkMode(mode: ConfiguredMode): Promise<ModeReport> {
  using backend = mode.create();
  const requirements = await backend.probe();
  return {
    mode: mode.name,
    ok: requirements.every(({ found, severity }) => found || severity !== "required"),
    requirements: requirements.map(checked),
  };
}

export function checked(requirement: Requirement): CheckedRequirement {
  const { name, detail, found, fix } = requirement;
  return { name, state: stateOf(requirement), detail, ...(found || fix === undefined ? {} : { fix }) };
}

/** The rows of the table: one per requirement, which may be that of several modes. */
export function rowsOf({ modes, node }: CheckReport): Cell[][] {
  const rows = new Map<string, { readonly users: string[]; readonly requirement: CheckedRequirement }>();
  const add = (user: string, requirement: CheckedRequirement) => {
    const key = JSON.stringify(requirement);
    const known = rows.get(key);
    if (known === undefined) rows.set(key, { users: [user], requirement });
    else known.users.push(user);
  };
  for (const { mode, requirements } of modes) for (const one of requirements) add(mode, one);
  for (const one of node) add("node", one);
  return [
    ["STATE", "FOR", "NEEDED", "FOUND, AND HOW TO GET IT"],
    ...rows.values().map(({ users, requirement }): Cell[] => [
      { text: requirement.state, colour: colours[requirement.state] },
      users.join(" "),
      requirement.name,
      describeRequirement(requirement),
    ]),
  ];
}

const colours = { ok: "green", MISSING: "red", WARNING: "yellow", absent: "plain" } as const;
const stateOfMissing = { required: "MISSING", recommended: "WARNING", optional: "absent" } as const;

function stateOf({ found, severity }: Requirement): RequirementState {
  return found ? "ok" : stateOfMissing[severity];
}

/** The last lines: what each mode lacks, and whether the mode that would start can work. */
export function verdictOf(report: CheckReport): string {
  const lines = report.modes.map((one) => {
    const missing = one.requirements.filter(({ state }) => state === "MISSING").map(({ name }) => name);
    const verdict = one.ok
      ? "can work on this node"
      : `cannot work on this node; missing: ${missing.join(", ")}`;
    return `Mode ${one.mode} ${verdict}.\n`;
  });
  return `${lines.join("")}${report.modes.length === 1 ? "" : startOf(report)}`;
}

/** @param report its `modeReason` says what all modes lack if `--proxy-mode=auto` finds none that works. */
function startOf({ mode, modeReason, ok }: CheckReport): string {
  if (modeReason === undefined) return `A start would use mode ${mode}${ok ? "" : ", and fail"}.\n`;
  return ok
    ? `A start would use mode ${mode} (auto: ${modeReason}).\n`
    : `A start would fail: ${modeReason}.\n`;
}
