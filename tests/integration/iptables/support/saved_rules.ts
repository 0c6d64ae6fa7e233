import assert from "node:assert/strict";
import type { NetworkNamespace } from "../../support/network_namespace.ts";
import { compared, normalised, parseListing } from "./listing.ts";

const commands = ["iptables", "ip6tables"] as const;

/** The rules of both families as stock iptables saves them, sorted if their order does not matter. */
export async function savedRules(namespace: NetworkNamespace): Promise<readonly string[]> {
  const listings = await Promise.all(
    commands.map(async (command) => {
      const lines = normalised(parseListing(await namespace.run(`${command}-nft-save`)));
      return lines.map((line) => `${line.startsWith(":") ? ":" : ""}${command}/${line.replace(/^:/, "")}`);
    }),
  );
  return listings.flat();
}

/**
 * Sorts the jumps of built-in chains: an existing jump stays where it is, whereas a new one is inserted
 * first.
 */
export function withoutOrderOfJumps(lines: readonly string[]): readonly string[] {
  const isBuiltIn = (line: string) => /^\S+ (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) /.test(line);
  return [...lines.filter((line) => !isBuiltIn(line)), ...lines.filter(isBuiltIn).sort()];
}

/** Fails with the lines that differ, each with its table: `- iptables/nat KUBE-SERVICES …`. */
export function mustBeSame(actual: readonly string[], expected: readonly string[], message?: string): void {
  const differences = compared(expected, actual);
  assert.deepEqual(differences.slice(0, 10), [], message);
}

/** Loads a listing. It replaces the present rules unless the flags include --noflush. */
export async function restore(
  namespace: NetworkNamespace,
  command: "iptables" | "ip6tables",
  listing: string,
  ...flags: readonly string[]
): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, listing);
    await namespace.run(`${command}-nft-restore`, ...flags, file);
  } finally {
    await Deno.remove(file);
  }
}
