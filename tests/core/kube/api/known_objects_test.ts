import assert from "node:assert/strict";
import { KnownObjects } from "../../../../core/kube/api/known_objects.ts";
import { describeRef } from "../../../../core/objects/parse/index.ts";
import type { Sink } from "../../../../core/source.ts";
import { silentLog } from "../../observe/log/silent_log.ts";
import { rawService } from "../raw_objects.ts";

const invalid = (name: string) => rawService(name, { ports: [] });

Deno.test("an invalid object is corrected when it is valid, not for this proxy, deleted, or missing from a list", () => {
  const calls: string[] = [];
  const sink: Sink = {
    upsert: ({ name }) => void calls.push(`upsert ${name}`),
    delete: ({ name }) => void calls.push(`delete ${name}`),
    synced() {},
    connected() {},
    unused: ({ ref, isInvalid }) => void calls.push(`${isInvalid ? "invalid" : "ignored"} ${ref.name}`),
    corrected: (ref) => void calls.push(`corrected ${describeRef(ref)}`),
  };
  const known = new KnownObjects("Service", sink, silentLog);
  const step = (...actions: readonly (() => void)[]) => {
    for (const action of actions) action();
    return calls.splice(0);
  };
  known.beginListing();
  assert.deepEqual(step(() => known.upsert(invalid("a")), () => known.upsert(invalid("a"))), [
    "invalid a",
    "invalid a",
  ]);
  assert.deepEqual(step(() => known.upsert(rawService("a"))), ["corrected Service default/a", "upsert a"]);
  assert.deepEqual(step(() => known.upsert(invalid("a")), () => known.delete(invalid("a"))), [
    "invalid a",
    "corrected Service default/a",
    "delete a",
  ]);
  const headless = rawService("b", { clusterIP: "None", clusterIPs: ["None"] });
  assert.deepEqual(step(() => known.upsert(invalid("b")), () => known.upsert(headless)), [
    "invalid b",
    "corrected Service default/b",
    "ignored b",
  ]);
  assert.deepEqual(step(() => known.upsert(invalid("c")), () => known.endListing()), ["invalid c"]);
  assert.deepEqual(step(() => known.beginListing(), () => known.endListing()), [
    "corrected Service default/c",
  ]);
});
