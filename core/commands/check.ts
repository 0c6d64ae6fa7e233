import type { Requirement } from "../backend/contract.ts";
import type { ConfiguredMode } from "../backend/mode.ts";

export interface CheckReport {
  readonly text: string;
  /** No required feature is missing. */
  readonly ok: boolean;
}

/** Tries which features the kernel and the privileges of this process provide for the mode. Changes nothing. */
export async function check(mode: ConfiguredMode): Promise<CheckReport> {
  using backend = mode.create();
  const requirements = await backend.probe();
  return {
    text: `mode ${mode.name}\n${table(requirements)}`,
    ok: requirements.every(({ found, severity }) => found || severity !== "required"),
  };
}

function table(requirements: readonly Requirement[]): string {
  const width = Math.max(...requirements.map(({ name }) => name.length));
  return requirements
    .map((requirement) => {
      const { name, detail } = requirement;
      return `  ${stateOf(requirement).padEnd("MISSING".length)}  ${name.padEnd(width)}  ${detail}\n`;
    })
    .join("");
}

const stateOfMissing = { required: "MISSING", recommended: "WARNING", optional: "absent" } as const;

function stateOf({ found, severity }: Requirement): string {
  return found ? "ok" : stateOfMissing[severity];
}
