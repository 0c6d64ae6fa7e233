import type { Backend, Requirement } from "../backend/contract.ts";

export interface CheckReport {
  readonly text: string;
  /** No required feature is missing. */
  readonly ok: boolean;
}

/** Tries what the mode needs of the kernel and of our privileges; changes nothing. */
export async function check(create: () => Backend): Promise<CheckReport> {
  using backend = create();
  const requirements = await backend.probe();
  return {
    text: `mode ${backend.mode}\n${table(requirements)}`,
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
