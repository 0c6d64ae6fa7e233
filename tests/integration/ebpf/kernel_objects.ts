import assert from "node:assert/strict";

/** What bpftool says. */
async function bpftool(...args: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await new Deno.Command("/usr/sbin/bpftool", { args: ["-j", ...args] })
    .output();
  assert.equal(code, 0, `bpftool ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
  return new TextDecoder().decode(stdout);
}

/** Programs attached to a cgroup, by attach type, with their number in the kernel. */
export async function attachedTo(cgroup: string): Promise<ReadonlyMap<string, number>> {
  const text = await bpftool("cgroup", "show", cgroup);
  const attached: { id: number; attach_type: string }[] = text.trim() === "" ? [] : JSON.parse(text);
  return new Map(attached.map(({ id, attach_type }) => [attach_type, id]));
}

/** The kernel's number of every map that is pinned in a directory, by its name there. */
export async function pinnedMaps(directory: string): Promise<ReadonlyMap<string, number>> {
  const ids = new Map<string, number>();
  for (const { name } of Deno.readDirSync(directory)) {
    ids.set(name, JSON.parse(await bpftool("map", "show", "pinned", `${directory}/${name}`)).id);
  }
  return ids;
}

/** Which of these numbers are maps still. */
export async function mapsAmong(ids: readonly number[]): Promise<readonly number[]> {
  const maps: { id: number }[] = JSON.parse(await bpftool("map", "show"));
  return maps.map(({ id }) => id).filter((id) => ids.includes(id));
}

/** Deletes the entries of a pinned map. */
export async function emptyMap(path: string): Promise<number> {
  const entries: { key: string[] }[] = JSON.parse(await bpftool("map", "dump", "pinned", path));
  for (const { key } of entries) {
    await bpftool(
      "map",
      "delete",
      "pinned",
      path,
      "key",
      "hex",
      ...key.map((byte) => byte.slice(2)),
    );
  }
  return entries.length;
}
