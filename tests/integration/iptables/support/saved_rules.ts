import assert from "node:assert/strict";
import type { NetworkNamespace } from "../../support/network_namespace.ts";
import { compared, normalised, parseListing } from "./listing.ts";

const commands = ["iptables", "ip6tables"] as const;

/** The rules of both families as stock iptables saves them, in an order of our own where theirs means nothing. */
export async function savedRules(namespace: NetworkNamespace): Promise<readonly string[]> {
  const listings = await Promise.all(
    commands.map(async (command) => {
      const lines = normalised(parseListing(await namespace.run(`${command}-nft-save`)));
      return lines.map((line) => `${line.startsWith(":") ? ":" : ""}${command}/${line.replace(/^:/, "")}`);
    }),
  );
  return listings.flat();
}

/** The same with the jumps from each hook in any order: one that is there stays where it is, a new one is the first. */
export function withoutOrderOfJumps(lines: readonly string[]): readonly string[] {
  const isHook = (line: string) => /^\S+ (INPUT|FORWARD|OUTPUT|PREROUTING|POSTROUTING) /.test(line);
  return [...lines.filter((line) => !isHook(line)), ...lines.filter(isHook).sort()];
}

/** Fails with the lines that differ, each behind its table: `- iptables/nat KUBE-SERVICES …`. */
export function mustBeSame(actual: readonly string[], expected: readonly string[], what?: string): void {
  const differences = compared(expected, actual);
  assert.deepEqual(differences.slice(0, 10), [], what);
}

/** Loads a listing, with what is there replaced unless it is told not to. */
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
