import assert from "node:assert/strict";
import { attacks } from "./attacks/attacks.ts";
import { attacksIn, documentFile, mapsIn, titleOf } from "./page/document.ts";
import { bpfSources } from "../backends/ebpf/programs/bpf_sources.ts";

const page = Deno.readTextFileSync(documentFile);

Deno.test("docs/adversarial.md has the figures of exactly the existing attacks, and their weaknesses", () => {
  assert.deepEqual(attacksIn(page), attacks.map(titleOf), "run scripts/adversarial.sh");
});

Deno.test("docs/adversarial.md says of every map of mode ebpf that can be full who can fill it", () => {
  const listed = mapsIn(page);
  const maps = mapsOfPrograms();
  const canBeFull = maps.filter(({ type }) => !type.endsWith("ARRAY")).map(({ name }) => name);
  assert.deepEqual(canBeFull.filter((name) => !listed.includes(name)), [], "not in the page");
  assert.deepEqual(listed.filter((name) => !maps.some((map) => map.name === name)), [], "no such map");
});

function mapsOfPrograms(): readonly { readonly name: string; readonly type: string }[] {
  return bpfSources().flatMap((text) => {
    const definitions = text.matchAll(/BPF_MAP_TYPE_(\w+)\);[^}]*\} (\w+) SEC\("\.maps"\);/g);
    return [...definitions].map(([, type, name]) => ({ name: name!, type: type! }));
  });
}
