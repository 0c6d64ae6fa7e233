import assert from "node:assert/strict";
import { locate } from "../../../../backends/ebpf/programs/mounts.ts";
import { PINNED_MAPS, Pins } from "../../../../backends/ebpf/programs/pins.ts";
import { bpfSources } from "./bpf_sources.ts";

const capacity = { frontends: 1, endpoints: 2, connections: 3, clients: 4 };

class TemporaryDirectory implements Disposable {
  readonly path = Deno.realPathSync(Deno.makeTempDirSync({ prefix: "pins-" }));

  [Symbol.dispose](): void {
    Deno.removeSync(this.path, { recursive: true });
  }
}

/** Makes a directory with our pins of two generations, as plain files. */
function makePins({ path }: TemporaryDirectory): { root: string; pins: Pins } {
  const root = `${path}/proxy`;
  const pins = new Pins(root, capacity);
  const old = `${root}/1-9-9-9-9`;
  for (const directory of [pins.directory, old]) {
    for (const name of ["maps", "links"]) Deno.mkdirSync(`${directory}/${name}`, { recursive: true });
    for (const name of ["services", "conntrack"]) Deno.writeTextFileSync(`${directory}/maps/${name}`, "");
    for (const name of ["connect4", "ingress-7"]) Deno.writeTextFileSync(`${directory}/links/${name}`, "");
  }
  Deno.writeTextFileSync(`${old}/links/arrive-7`, "");
  return { root, pins };
}

function paths(directory: string): string[] {
  return [...Deno.readDirSync(directory)].flatMap(({ name, isDirectory }) => {
    const path = `${directory}/${name}`;
    return isDirectory ? [path, ...paths(path)] : [path];
  }).sort();
}

Deno.test("all pins of ours are removed with their directories, those of earlier versions, too", () => {
  using directory = new TemporaryDirectory();
  const { root, pins } = makePins(directory);
  pins.removeOthers();
  assert.deepEqual([...Deno.readDirSync(root)].map(({ name }) => `${root}/${name}`), [pins.directory]);
  assert.equal(paths(pins.directory).length, 6);
  assert.deepEqual(pins.removeAll(), []);
  assert.throws(() => Deno.statSync(root), Deno.errors.NotFound);
  assert.deepEqual(pins.removeAll(), []);
});

Deno.test("pins and directories of other programs stay, wherever they are", () => {
  using directory = new TemporaryDirectory();
  const { root, pins } = makePins(directory);
  const elsewhere = `${directory.path}/elsewhere`;
  Deno.mkdirSync(elsewhere);
  Deno.writeTextFileSync(`${elsewhere}/file`, "");
  const foreign = [
    `${root}/foreign`,
    `${root}/cilium/maps/services`,
    `${root}/9-9/links/connect4`,
    `${pins.directory}/note`,
    `${pins.directory}/maps/other`,
    `${pins.directory}/links/ingress-x`,
  ];
  for (const path of foreign) {
    Deno.mkdirSync(path.slice(0, path.lastIndexOf("/")), { recursive: true });
    Deno.writeTextFileSync(path, "");
  }
  Deno.symlinkSync(elsewhere, `${root}/5-5-5-5-5`);
  assert.deepEqual(pins.removeAll(), [pins.directory]);
  assert.deepEqual(paths(root).filter((path) => Deno.lstatSync(path).isFile), foreign.toSorted());
  assert.deepEqual([...Deno.readDirSync(elsewhere)].length, 1);
});

Deno.test("every map of the programs is known as a pin of ours", () => {
  const declared = bpfSources().flatMap((text) =>
    [...text.matchAll(/^\} (\w+) SEC\("\.maps"\)/gm)].map(([, map]) => map)
  );
  assert.deepEqual(declared.sort(), [...PINNED_MAPS.keys()].sort());
});

Deno.test("a path is located behind symbolic links, whether it exists or not", () => {
  using temporary = new TemporaryDirectory();
  const directory = temporary.path;
  Deno.mkdirSync(`${directory}/bpf/pins`, { recursive: true });
  Deno.mkdirSync(`${directory}/home`);
  Deno.symlinkSync(`${directory}/home`, `${directory}/bpf/link`);
  const mounts = [{ path: "/", type: "ext4" }, { path: `${directory}/bpf`, type: "bpf" }];
  const found = (path: string) => {
    const { mount, isRoot } = locate(`${directory}/${path}`, mounts);
    return [mount?.type, isRoot];
  };
  assert.deepEqual(found("bpf"), ["bpf", true]);
  assert.deepEqual(found("bpf/pins"), ["bpf", false]);
  assert.deepEqual(found("bpf/new/deep"), ["bpf", false]);
  assert.deepEqual(found("bpf/link"), ["ext4", false]);
  assert.deepEqual(found("bpf/link/new"), ["ext4", false]);
  assert.deepEqual(found("bpf/pins/.."), ["bpf", true]);
});
