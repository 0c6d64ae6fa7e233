import type { Backend, Requirement } from "../backend/contract.ts";

export interface CheckReport {
  readonly text: string;
  /** Nothing is missing that the mode cannot do without. */
  readonly ok: boolean;
}

/** Tries what the mode needs of the kernel and of our privileges; changes nothing. */
export async function check(create: () => Backend): Promise<CheckReport> {
  using backend = create();
  const requirements = await backend.probe();
  return {
    text: `mode ${backend.mode}\n${table(requirements)}`,
    ok: requirements.every(({ found, ifMissing }) => found || ifMissing !== undefined),
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

function stateOf({ found, ifMissing }: Requirement): string {
  if (found) return "found";
  if (ifMissing === undefined) return "MISSING";
  return ifMissing === "warn" ? "WARNING" : "without";
}
