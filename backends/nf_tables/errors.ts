import type { PlanKey } from "../../core/plan/plan.ts";
import { KernelError } from "../../ffi/errors.ts";
import { BackendError, type ProxyMode } from "../../core/backend/contract.ts";

/** What the kernel refuses on the way becomes a BackendError. */
export async function inOperatorsWords<Result>(
  mode: ProxyMode,
  operation: () => Promise<Result>,
): Promise<Result> {
  try {
    return await operation();
  } catch (error) {
    throw error instanceof KernelError ? asBackendError(mode, error) : error;
  }
}

const unsupported: ReadonlySet<string> = new Set(["EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT"]);

/** @param culprits service ports that the refusal is about. */
export function asBackendError(
  mode: ProxyMode,
  error: KernelError,
  culprits: readonly PlanKey[] = [],
): BackendError {
  const advice = unsupported.has(error.errnoName) && error.advice === undefined
    ? ". The kernel lacks nf_tables or a part of it (proxy check says which)"
    : "";
  return new BackendError(`${mode}: ${error.message}${advice}`, culprits, { cause: error });
}
