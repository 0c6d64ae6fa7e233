const FOLDERS = ["", "maps/"].map((path) => new URL(`../../../backends/ebpf/bpf/${path}`, import.meta.url));

/** The texts of all sources of the programs, headers included. */
export function bpfSources(): readonly string[] {
  return FOLDERS.flatMap((folder) =>
    [...Deno.readDirSync(folder)].filter(({ isFile }) => isFile)
      .map(({ name }) => Deno.readTextFileSync(new URL(name, folder)))
  );
}
