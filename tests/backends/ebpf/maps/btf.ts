import assert from "node:assert/strict";
import type { ObjectName } from "../../../../backends/ebpf/programs/objects.ts";

const root = new URL("../../../../", import.meta.url).pathname;

export interface Struct {
  readonly size: number;
  /** Offset of each member in bytes. */
  readonly offsets: Readonly<Record<string, number>>;
}

/** Reads the structs of a compiled object file by name. Compiles the programs if they are not up to date. */
export async function readTypes(object: ObjectName): Promise<ReadonlyMap<string, Struct>> {
  await output("scripts/bpf.sh");
  const { types } = JSON.parse(
    await output("/usr/sbin/bpftool", "-j", "btf", "dump", "file", `dist/bpf/${object}.bpf.o`),
  );
  const structs = new Map<string, Struct>();
  for (const { kind, name, size, members } of types) {
    if (kind !== "STRUCT" || name === "(anon)") continue;
    const offsets = members.map((
      member: { name: string; bits_offset: number },
    ) => [member.name, member.bits_offset / 8]);
    structs.set(name, { size, offsets: Object.fromEntries(offsets) });
  }
  return structs;
}

async function output(command: string, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command(command, { args, cwd: root }).output();
  assert.equal(code, 0, `${command}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}
