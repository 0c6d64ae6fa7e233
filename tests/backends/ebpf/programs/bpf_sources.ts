import { globSync } from "node:fs";

const FOLDER = new URL("../../../../backends/ebpf/bpf/", import.meta.url).pathname;

/** The texts of all sources of the programs, headers included. */
export function bpfSources(): readonly string[] {
  return globSync(`${FOLDER}**/*.{c,h}`).map((path) => Deno.readTextFileSync(path));
}
