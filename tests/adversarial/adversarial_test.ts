import assert from "node:assert/strict";
import { attacks } from "./attacks/attacks.ts";
import { Arena, MODES } from "./support/arena.ts";
import { documentFile, recordingFile, render, type Result } from "./page/document.ts";
import type { Attack } from "./support/attack.ts";
import { complaints, type Figure, textOf } from "./support/figure.ts";
import { Programs } from "./support/programs.ts";
import { run } from "../integration/support/network_namespace.ts";

/**
 * Runs every attack on a node in mode nftables and on one in mode ebpf, and compares. ADVERSARIAL_LONG=yes adds the
 * attacks that occupy the machine for long. ADVERSARIAL_RECORD=yes adds them, too, and writes docs/adversarial.md; of
 * attacks that a filter leaves out it keeps the last recording.
 */
const isSet = (variable: string) => (Deno.env.get(variable) ?? "") !== "";
const isRecording = isSet("ADVERSARIAL_RECORD");
const isLongRun = isRecording || isSet("ADVERSARIAL_LONG");

let programs: Programs;
const arenas: Arena[] = [];
const results: Result[] = [];
const load = Deno.readTextFileSync("/proc/loadavg").split(" ")[0]!;

Deno.test.beforeAll(async () => {
  await run(new URL("../../scripts/bpf.sh", import.meta.url).pathname);
  programs = await Programs.compile();
  for (const mode of MODES) arenas.push(await Arena.create(mode, programs));
});

Deno.test.afterAll(async () => {
  for (const arena of arenas) await arena[Symbol.asyncDispose]();
  await programs?.[Symbol.asyncDispose]();
  if (isRecording) await record();
});

for (const attack of attacks) {
  Deno.test({
    name: `${attack.name}: mode ebpf ${
      attack.weakness ? "does not withstand" : "withstands"
    } it as mode nftables does`,
    ignore: attack.isLong === true && !isLongRun,
    // The agents of the labs and the backends run from one attack to the next.
    sanitizeOps: false,
    sanitizeResources: false,
    fn: async () => {
      const [netfilters, ours] = await suffer(attack);
      print(ours, netfilters);
      results.push({ attack: attack.name, ebpf: ours, nftables: netfilters });
      const found = complaints(ours, netfilters);
      if (attack.weakness === undefined) assert.deepEqual(found, []);
      else assert.notDeepEqual(found, [], "mode ebpf withstands the attack: remove its `weakness`");
    },
  });
}

/** Figures in mode nftables, and in mode ebpf. */
async function suffer(attack: Attack): Promise<readonly [readonly Figure[], readonly Figure[]]> {
  const [nftables, ebpf] = arenas;
  assert(nftables !== undefined && ebpf !== undefined);
  // At the same time, unless the attack measures a rate.
  if (attack.isLong) return [await attack.run(nftables), await attack.run(ebpf)];
  return await Promise.all([attack.run(nftables), attack.run(ebpf)]);
}

function print(ours: readonly Figure[], netfilters: readonly Figure[]): void {
  for (const [index, figure] of ours.entries()) {
    console.log(`${figure.what}: ebpf ${textOf(figure)}, nftables ${textOf(netfilters[index]!)}`);
  }
}

async function record(): Promise<void> {
  const before: readonly Result[] = JSON.parse(await Deno.readTextFile(recordingFile).catch(() => "[]"));
  const merged = new Map([...before, ...results].map((result) => [result.attack, result]));
  await Deno.writeTextFile(recordingFile, JSON.stringify([...merged.values()], undefined, 1));
  const missing = attacks.filter(({ name }) => !merged.has(name));
  if (missing.length > 0) {
    console.log(`docs/adversarial.md is not written: ${missing.length} attacks have no recording yet`);
    return;
  }
  const machine =
    `Linux ${Deno.osRelease()} with ${navigator.hardwareConcurrency} processors and a load of ${load} by others`;
  await Deno.writeTextFile(documentFile, render(attacks, merged, machine));
  console.log("docs/adversarial.md is written");
}
