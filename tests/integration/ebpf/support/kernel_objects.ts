import assert from "node:assert/strict";

/** Runs bpftool, and returns its JSON. */
async function bpftool(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("/usr/sbin/bpftool", { args: ["-j", ...args] })
    .output();
  assert.equal(code, 0, `bpftool ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Returns the id of every program attached to a cgroup, by attach type. */
export async function attachedTo(cgroup: string): Promise<ReadonlyMap<string, number>> {
  const text = await bpftool("cgroup", "show", cgroup);
  const attached: { id: number; attach_type: string }[] = text.trim() === "" ? [] : JSON.parse(text);
  return new Map(attached.map(({ id, attach_type }) => [attach_type, id]));
}

/** Returns the id of every map pinned in a directory, by file name. */
export async function pinnedMaps(directory: string): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>();
  for (const { name } of Deno.readDirSync(directory)) {
    ids.set(name, JSON.parse(await bpftool("map", "show", "pinned", `${directory}/${name}`)).id);
  }
  return ids;
}

/** Returns which of these ids still belong to a map. */
export async function mapsAmong(ids: readonly number[]): Promise<readonly number[]> {
  const maps: { id: number }[] = JSON.parse(await bpftool("map", "show"));
  return maps.map(({ id }) => id).filter((id) => ids.includes(id));
}

/** Deletes all entries of a pinned map, and returns their number. */
export async function emptyMap(path: string): Promise<number> {
  const entries: { key: string[] }[] = JSON.parse(await bpftool("map", "dump", "pinned", path));
  for (const { key } of entries) {
    const bytes = key.map((byte) => byte.slice(2));
    await bpftool("map", "delete", "pinned", path, "key", "hex", ...bytes);
  }
  return entries.length;
}
