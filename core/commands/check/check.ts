import type { Requirement } from "../../backend/contract.ts";
import type { ConfiguredMode } from "../../backend/mode.ts";
import type { Cell } from "../output/table.ts";

/** The requirements of a mode on this node. */
export interface CheckReport {
  readonly mode: string;
  /** No required feature is missing. */
  readonly ok: boolean;
  readonly requirements: readonly CheckedRequirement[];
}

export interface CheckedRequirement {
  readonly name: string;
  readonly state: RequirementState;
  /** The evidence; for a missing feature also how to get it. */
  readonly detail: string;
}

export type RequirementState = "ok" | "MISSING" | "WARNING" | "absent";

/** Tries which features the kernel and the privileges of this process provide for the mode. Changes nothing. */
export async function check(mode: ConfiguredMode): Promise<CheckReport> {
  using backend = mode.create();
  const requirements = await backend.probe();
  return {
    mode: mode.name,
    ok: requirements.every(({ found, severity }) => found || severity !== "required"),
    requirements: requirements.map((requirement) => {
      const { name, detail } = requirement;
      return { name, state: stateOf(requirement), detail };
    }),
  };
}

/** One row per requirement: its state, its name and the evidence. */
export function rowsOf({ requirements }: CheckReport): Cell[][] {
  return requirements.map((
    { name, state, detail },
  ) => [{ text: state, colour: colours[state] }, name, detail]);
}

const colours = { ok: "green", MISSING: "red", WARNING: "yellow", absent: "plain" } as const;
const stateOfMissing = { required: "MISSING", recommended: "WARNING", optional: "absent" } as const;

function stateOf({ found, severity }: Requirement): RequirementState {
  return found ? "ok" : stateOfMissing[severity];
}
