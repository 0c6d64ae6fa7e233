import assert from "node:assert/strict";
import { withBackendErrors } from "../../backends/backend_errors.ts";
import { BackendError } from "../../core/backend/contract.ts";
import type { PlanKey } from "../../core/plan/plan.ts";
import { errnoOf } from "../../ffi/errno.ts";
import { KernelError } from "../../ffi/errors.ts";
import { LibraryError } from "../../ffi/libraries/library.ts";
import { MapBackend } from "../core/sync/kernel.ts";

const KEY = "default/web:http/TCP/IPv4" as PlanKey;
const nothing = { settings: [], plans: new Map() };

function failing(error: Error) {
  return withBackendErrors(Object.assign(new MapBackend(), { reconcile: () => Promise.reject(error) }));
}

Deno.test("kernel errors, file-system errors and missing libraries become errors for operators", async () => {
  const cases: readonly (readonly [Error, RegExp])[] = [
    [
      new KernelError("add a table", errnoOf("EPERM")),
      /^nftables: add a table: EPERM \(Operation not permitted\)$/,
    ],
    [
      new KernelError("add a table", errnoOf("EOPNOTSUPP")),
      /EOPNOTSUPP.*\. Most likely the kernel lacks a feature that the mode needs \(proxy check says which\)$/,
    ],
    [new Deno.errors.PermissionDenied("/sys/fs/bpf"), /^nftables: \/sys\/fs\/bpf$/],
    [
      new Error("Too many open files (os error 24): readdir '/sys/fs/bpf'"),
      /^nftables: Too many open files \(os error 24\): readdir '\/sys\/fs\/bpf'$/,
    ],
    [new LibraryError("libnl-3.so.200: cannot be loaded"), /^nftables: libnl-3\.so\.200: cannot be loaded$/],
  ];
  for (const [cause, message] of cases) {
    await assert.rejects(
      failing(cause).reconcile(nothing),
      (error) => error instanceof BackendError && message.test(error.message) && error.cause === cause,
    );
  }
});

Deno.test("defects and errors that are for operators already stay as they are", async () => {
  for (const error of [new TypeError("odd"), new BackendError("nftables: EINVAL")]) {
    await assert.rejects(failing(error).reconcile(nothing), (thrown) => thrown === error);
  }
});

Deno.test("an apply before the first successful reconcile is a defect", async () => {
  const backend = new MapBackend();
  const wrapped = withBackendErrors(backend);
  backend.reject = () => new BackendError("EBUSY");
  await assert.rejects(wrapped.reconcile(nothing));
  await assert.rejects(wrapped.apply([]), /^Error: nftables: apply before the first reconcile$/);
  backend.reject = () => undefined;
  await wrapped.reconcile(nothing);
  await wrapped.apply([]);
  assert.deepEqual(backend.calls, ["reconcile 0", "reconcile 0", "apply 0"]);
});

Deno.test("what a mode leaves out is left out of the wrapped backend, too", async () => {
  const plain = withBackendErrors(new MapBackend());
  assert.deepEqual([plain.metrics, plain.cleanUpLeftovers], [undefined, undefined]);
  const full = withBackendErrors(
    Object.assign(new MapBackend(), {
      metrics: () => Promise.resolve([]),
      cleanUpLeftovers: () => Promise.reject(new KernelError("remove a set", errnoOf("EBUSY"))),
    }),
  );
  assert.deepEqual(await full.metrics?.(), []);
  await assert.rejects(full.cleanUpLeftovers?.() ?? Promise.resolve(), BackendError);
});

Deno.test("every member of a mode is a member of the wrapped backend", () => {
  const limitation = { cause: "no-room", text: "there is no room", advice: "Make room" };
  const wrapped = withBackendErrors(
    Object.assign(new MapBackend(), {
      limitationsOf: (key: string) => key === KEY ? [limitation] : [],
      drain: () => Promise.reject(new KernelError("listen", errnoOf("EACCES"))),
      socketsToKeep: () => {
        throw new KernelError("open a socket", errnoOf("EMFILE"));
      },
    }),
  );
  assert.deepEqual(wrapped.limitationsOf?.(KEY), [limitation]);
  assert.throws(() => wrapped.socketsToKeep?.(), /^BackendError: nftables: open a socket: EMFILE/);
  return assert.rejects(wrapped.drain?.(false) ?? Promise.resolve(), BackendError);
});
