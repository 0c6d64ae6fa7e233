/**
 * Writes goldens.json: the bytes that stock nft (1.0.6) sends when it loads listings of our tables, by object
 * name or rule text. Needs root, nft and strace:
 *
 *     deno run -A tests/backends/nftables/capture_goldens.ts
 */
import { listingOf } from "../../integration/nftables/support/listing.ts";
import { BackendProcess } from "../../integration/support/backend_process.ts";
import { NetworkNamespace } from "../../integration/support/network_namespace.ts";
import { everyKindOfPlan, everyKindOfSettings } from "../everything.ts";
import { type Created, createdBy, goldenName, ruleName } from "../nf_tables/canonical.ts";

if (import.meta.main) await capture();

async function capture(): Promise<void> {
  const goldens = new Map<string, Set<string>>();
  for (const settings of everyKindOfSettings) {
    await using ours = await NetworkNamespace.make();
    await using backend = new BackendProcess("nftables", ours);
    await backend.reconcile(everyKindOfPlan, settings);
    for (const family of ["ip", "ip6"] as const) {
      const listing = await listingOf(ours, family);
      await using theirs = await NetworkNamespace.make();
      for (const [name, bytes] of named(listing, createdBy(await sentByNft(theirs, listing)))) {
        goldens.set(name, (goldens.get(name) ?? new Set()).add(bytes));
      }
    }
  }
  const sorted = Object.fromEntries([...goldens].map(([name, bytes]) => [name, [...bytes].sort().join(" ")]));
  await Deno.writeTextFile(
    new URL("./goldens.json", import.meta.url),
    `${JSON.stringify(sorted, null, 2)}\n`,
  );
  console.log(`${goldens.size} goldens`);
}

/** Each object that nft created with its golden's name: for a rule, its text. */
function* named(listing: string, created: readonly Created[]): Generator<[string, string]> {
  const rules = rulesByChain(listing);
  for (const object of created) {
    if (object.kind !== "rule") yield [goldenName(object), object.bytes];
    else yield [ruleName(object.family, rules.get(object.name)?.shift() ?? "?"), object.bytes];
  }
}

function rulesByChain(listing: string): Map<string, string[]> {
  const rules = new Map<string, string[]>();
  let current: string[] | undefined;
  for (const line of listing.split("\n").map((line) => line.trim())) {
    const chain = /^chain (\S+) \{$/.exec(line)?.[1];
    if (chain !== undefined) rules.set(chain, current = []);
    else if (line === "}") current = undefined;
    else if (!line.startsWith("type ")) current?.push(line);
  }
  return rules;
}

/** The batch that nft sends: the largest of its datagrams. */
async function sentByNft(namespace: NetworkNamespace, listing: string): Promise<Uint8Array> {
  const directory = await Deno.makeTempDir();
  try {
    const trace = `${directory}/trace`;
    await Deno.writeTextFile(`${directory}/listing`, listing);
    const options = ["-e", "trace=sendmsg", "-e", "write=all", "-o", trace];
    await namespace.run("strace", ...options, "nft", "-f", `${directory}/listing`);
    const dumps = (await Deno.readTextFile(trace)).split(/^sendmsg/m).map(bytesOfDump);
    return dumps.reduce((largest, dump) => dump.length > largest.length ? dump : largest, new Uint8Array());
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

/** Parses a dump of strace:  | 00010  00 00 00 0a 2c 00 00 00  00 0a 01 00 01 00 00 00  ....,........... | */
function bytesOfDump(dump: string): Uint8Array {
  const bytes: number[] = [];
  for (const [, hex = ""] of dump.matchAll(/^ \| [0-9a-f]+ {2}((?:[0-9a-f ]{2} {1,2}){16})/gm)) {
    for (const byte of hex.trim().split(/\s+/)) bytes.push(parseInt(byte, 16));
  }
  return Uint8Array.from(bytes);
}
