import { type Backend, BackendError, type PlanChange } from "../backend/contract.ts";

/** What became of a batch: every change is in exactly one of the lists. */
export interface BatchOutcome {
  readonly applied: readonly PlanChange[];
  /** Changes the kernel refused when they stood alone or that the refusal named, each with the reason. */
  readonly refused: readonly { readonly change: PlanChange; readonly error: BackendError }[];
  /** Changes not tried to the end, because everything fails: not one service's fault. */
  readonly untried: readonly PlanChange[];
}

/** As many single refusals in a row, with nothing accepted between them, mean that the kernel refuses us, not a service. */
const SYSTEMIC_REFUSALS = 8;

/**
 * Applies a batch so that a bad service blocks no other: what the kernel refuses is split until the offender is
 * alone, by the names in the refusal where it gives them, else by halves. Order is kept, so that a frontend that
 * moves from one service to another is freed before it is taken.
 */
export async function applySplitting(
  backend: Pick<Backend, "apply">,
  changes: readonly PlanChange[],
): Promise<BatchOutcome> {
  const applied: PlanChange[] = [];
  const refused: { change: PlanChange; error: BackendError }[] = [];
  const untried: PlanChange[] = [];
  let refusalsInARow = 0;

  /** A stack of parts still to apply, the next one last. */
  const parts: (readonly PlanChange[])[] = [changes];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    if (part.length === 0) continue;
    if (refusalsInARow >= SYSTEMIC_REFUSALS) {
      untried.push(...part);
      continue;
    }
    try {
      await backend.apply(part);
      applied.push(...part);
      refusalsInARow = 0;
    } catch (cause) {
      const error = refusalOf(cause);
      const named = new Set(error.rejectedKeys);
      const culprits = part.filter((change) => named.has(change.key));
      if (part.length === 1 || culprits.length > 0) {
        const guilty = culprits.length > 0 ? culprits : part;
        for (const change of guilty) refused.push({ change, error });
        refusalsInARow++;
        parts.push(part.filter((change) => !guilty.includes(change)));
      } else {
        const half = part.length >> 1;
        parts.push(part.slice(half), part.slice(0, half));
      }
    }
  }
  return { applied, refused, untried };
}

/** Only a refusal is the loop's to handle: everything else is a defect of ours and ends the process. */
export function refusalOf(cause: unknown): BackendError {
  if (cause instanceof BackendError) return cause;
  throw cause;
}
