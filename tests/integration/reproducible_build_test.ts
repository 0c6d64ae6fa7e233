import assert from "node:assert/strict";
import { run } from "./support/network_namespace.ts";

const project = new URL("../../", import.meta.url).pathname;

Deno.test("two builds in different directories give the same binary, bit for bit", async () => {
  const output = await run(`${project}scripts/reproduce.sh`);
  assert.match(output, /two builds gave the same dist\/proxy, SHA-256 [0-9a-f]{64}$/m);
});

Deno.test("the binary does not tell in which directory it was built", async () => {
  await run(`${project}scripts/build.sh`);
  const bytes = await Deno.readFile(`${project}dist/proxy`);
  const text = new TextDecoder("latin1").decode(bytes);
  assert(text.includes("backends/ebpf/bpf/"), "names of sources are found at all");
  assert(!text.includes(project), `dist/proxy contains ${project}`);
});
