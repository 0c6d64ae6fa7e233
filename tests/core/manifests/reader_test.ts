import assert from "node:assert/strict";
import { ManifestReader } from "../../../core/manifests/reader.ts";
import { describeRef } from "../../../core/objects/parse/index.ts";
import { rawService } from "../kube/raw_objects.ts";
import { silentLog } from "../observe/log/silent_log.ts";

const invalid = (name: string) => rawService(name, { ports: [] });
const options = { before: undefined, isInForce: false, everything: false };

Deno.test("an invalid object is corrected when its file has it valid or no more, or is gone", () => {
  const calls: string[] = [];
  const reader = new ManifestReader(silentLog, {
    unused: ({ ref }) => calls.push(`invalid ${ref.name}`),
    corrected: (ref) => calls.push(`corrected ${describeRef(ref)}`),
  });
  const read = (...objects: readonly object[]) => {
    reader.read("a.yaml", objects.map((object) => JSON.stringify(object)).join("\n---\n"), options);
    return calls.splice(0);
  };
  assert.deepEqual(read(invalid("a"), invalid("b"), rawService("c")), ["invalid a", "invalid b"]);
  assert.deepEqual(read(rawService("a"), invalid("b"), rawService("c")), [
    "invalid b",
    "corrected Service default/a",
  ]);
  reader.read("a.yaml", "kind: [", options);
  assert.deepEqual(calls.splice(0), [], "a file that cannot be parsed says nothing about its objects");
  assert.deepEqual(read(rawService("a")), ["corrected Service default/b"]);
  assert.deepEqual(read(invalid("a")), ["invalid a"]);
  reader.forget("a.yaml");
  assert.deepEqual(calls, ["corrected Service default/a"]);
});
