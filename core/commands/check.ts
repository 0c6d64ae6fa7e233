import type { Backend, Requirement } from "../../backends/backend.ts";

export interface CheckReport {
  readonly text: string;
  /** Nothing is missing. */
  readonly ok: boolean;
}

/** Tries what the mode needs of the kernel and of our privileges; changes nothing. */
export async function check(create: () => Backend): Promise<CheckReport> {
  using backend = create();
  const requirements = await backend.probe();
  return {
    text: `mode ${backend.mode}\n${table(requirements)}`,
    ok: requirements.every(({ found }) => found),
  };
}

function table(requirements: readonly Requirement[]): string {
  const width = Math.max(...requirements.map(({ name }) => name.length));
  return requirements
    .map(({ name, found, detail }) =>
      `  ${found ? "found  " : "MISSING"}  ${name.padEnd(width)}  ${detail}\n`
    )
    .join("");
}
