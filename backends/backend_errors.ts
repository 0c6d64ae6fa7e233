import {
  type Backend,
  BackendError,
  NotPermitted,
  type PlanChange,
  type ReconcileReport,
} from "../core/backend/contract.ts";
import type { DesiredState, PlanKey } from "../core/plan/plan.ts";
import { KernelError } from "../ffi/errors.ts";
import { LibraryError } from "../ffi/libraries/library.ts";

/**
 * Wraps the backend of a mode: kernel errors, file-system errors and missing libraries become BackendErrors that start
 * with the name of the mode. Every other error is a defect and passes through. Also rejects an `apply` before the
 * first successful `reconcile`. What the backend leaves out, the wrapped one leaves out, too.
 */
export function withBackendErrors(backend: Backend): Backend {
  const { mode } = backend;
  let isReconciled = false;
  const translated = <Result>(call: () => Result): Result => {
    try {
      const result = call();
      return result instanceof Promise ? result.catch(fail) as Result : result;
    } catch (error) {
      return fail(error);
    }
  };
  const fail = (error: unknown): never => {
    throw translate(mode, error);
  };
  const checked: Pick<Backend, "reconcile" | "apply"> = {
    async reconcile(desired: DesiredState): Promise<ReconcileReport> {
      const report = await translated(() => backend.reconcile(desired));
      isReconciled = true;
      return report;
    },
    async apply(changes: readonly PlanChange[]): Promise<readonly string[] | void> {
      if (!isReconciled) throw new Error(`${mode}: apply before the first reconcile`);
      return await translated(() => backend.apply(changes));
    },
  };
  // All members, also those that the contract will get: one that is not passed on would silently have no effect.
  return new Proxy(backend, {
    get(target, name) {
      if (name === "reconcile" || name === "apply") return checked[name];
      const member: unknown = Reflect.get(target, name, target);
      if (typeof member !== "function") return member;
      return (...args: readonly unknown[]): unknown => translated(() => Reflect.apply(member, target, args));
    },
  });
}

const unsupported: ReadonlySet<string> = new Set(["EOPNOTSUPP", "EPROTONOSUPPORT", "EAFNOSUPPORT"]);

/** @param rejectedKeys service ports that the rejection is about. */
export function backendError(
  mode: string,
  error: KernelError,
  rejectedKeys: readonly PlanKey[] = [],
): BackendError {
  const advice = unsupported.has(error.errnoName) && error.advice === undefined
    ? ". Most likely the kernel lacks a feature that the mode needs (proxy check says which)"
    : "";
  const Kind = error.errnoName === "EPERM" ? NotPermitted : BackendError;
  return new Kind(`${mode}: ${error.message}${advice}`, rejectedKeys, { cause: error });
}

const systemErrors = Object.values(Deno.errors);

function translate(mode: string, error: unknown): unknown {
  if (error instanceof KernelError) return backendError(mode, error);
  const isOfSystem = error instanceof LibraryError || systemErrors.some((kind) => error instanceof kind) ||
    hasErrno(error);
  if (!isOfSystem || !(error instanceof Error)) return error;
  return new BackendError(`${mode}: ${error.message}`, [], { cause: error });
}

/** Recognises system errors without a class in `Deno.errors`, such as EMFILE (no file descriptor is left). */
function hasErrno(error: unknown): boolean {
  return error instanceof Error && / \(os error \d+\)/.test(error.message);
}
