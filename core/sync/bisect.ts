import { type Backend, BackendError, type PlanChange } from "../backend/contract.ts";

/** Result of applying a batch: every change is in exactly one of the lists. */
export interface BatchOutcome {
  readonly applied: readonly PlanChange[];
  /** Changes that the kernel rejected, alone or named by the rejection, each with the reason. */
  readonly rejected: readonly { readonly change: PlanChange; readonly error: BackendError }[];
  /**
   * Changes that were not tried to the end because everything fails, which is not the fault of one service.
   */
  readonly untried: readonly PlanChange[];
  /** Warnings about the applied changes. */
  readonly warnings: readonly string[];
}

/**
 * So many rejections in a row, with nothing accepted in between, mean that the kernel rejects us, not a
 * service.
 */
const SYSTEMIC_REJECTIONS = 8;

/**
 * Applies a batch so that a bad service blocks no other. A part that the kernel rejects is split until the
 * offending change is alone: by the keys that the rejection names, or else into halves. The order is kept, so
 * that a frontend that moves from one service to another is freed before it is claimed.
 */
export async function applyBisecting(
  backend: Pick<Backend, "apply">,
  changes: readonly PlanChange[],
): Promise<BatchOutcome> {
  const applied: PlanChange[] = [];
  const rejected: { change: PlanChange; error: BackendError }[] = [];
  const untried: PlanChange[] = [];
  const warnings: string[] = [];
  let rejectionsInARow = 0;

  /** A stack of the parts that are still to be applied, the next one last. */
  const parts: (readonly PlanChange[])[] = [changes];
  for (let part = parts.pop(); part !== undefined; part = parts.pop()) {
    if (part.length === 0) continue;
    if (rejectionsInARow >= SYSTEMIC_REJECTIONS) {
      untried.push(...part);
      continue;
    }
    try {
      warnings.push(...await backend.apply(part) ?? []);
      applied.push(...part);
      rejectionsInARow = 0;
    } catch (cause) {
      const error = rejectionOf(cause);
      const named = new Set(error.rejectedKeys);
      const namedChanges = part.filter((change) => named.has(change.key));
      if (part.length === 1 || namedChanges.length > 0) {
        const offending = namedChanges.length > 0 ? namedChanges : part;
        for (const change of offending) rejected.push({ change, error });
        rejectionsInARow++;
        parts.push(part.filter((change) => !offending.includes(change)));
      } else {
        const half = part.length >> 1;
        parts.push(part.slice(half), part.slice(0, half));
      }
    }
  }
  return { applied, rejected, untried, warnings };
}

/**
 * Returns a rejection, which the sync loop handles. Throws everything else: a defect, which ends the process.
 */
export function rejectionOf(cause: unknown): BackendError {
  if (cause instanceof BackendError) return cause;
  throw cause;
}
