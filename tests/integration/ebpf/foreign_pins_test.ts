import assert from "node:assert/strict";
import { assertComplaint, Node } from "../cli/support/node.ts";
import { reachable } from "../cli/support/objects.ts";
import { run } from "../support/network_namespace.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

/** Creates and pins a map of another program. */
async function pinForeignMap(path: string): Promise<void> {
  const type = ["type", "array", "key", "4", "value", "4", "entries", "1"];
  await run("bpftool", "map", "create", path, ...type, "name", "foreign");
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}

Deno.test("a start in any mode and --cleanup leave pins of other programs where they are", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const flags = [`--ebpf-bpffs=${mounts.bpffs}`, `--ebpf-cgroup=${mounts.cgroup}`];
  await Deno.mkdir(`${mounts.bpffs}/directory`, { recursive: true });
  const foreign = [`${mounts.bpffs}/map`, `${mounts.bpffs}/directory/map`, `${parentOf(mounts.bpffs)}/map`];
  for (const path of foreign) await pinForeignMap(path);
  const assertKept = () => {
    for (const path of foreign) assert(Deno.statSync(path).isFile, path);
  };
  const generations = () => [...Deno.readDirSync(mounts.bpffs)].filter(({ name }) => /^\d/.test(name));

  {
    await using proxy = node.start("--proxy-mode=ebpf", ...flags);
    await proxy.inForce();
  }
  assert.equal(generations().length, 1);
  assertKept();
  {
    await using proxy = node.start("--proxy-mode=nftables", ...flags);
    await proxy.logs(/No rules of another mode remain" mode="ebpf"/);
  }
  assert.deepEqual(generations(), [], "our pins are removed");
  assertKept();
  const { code, stderr } = await node.run(["--cleanup", ...flags]);
  assert.equal(code, 0, stderr);
  assertKept();
});

Deno.test("--cleanup names our directory if another program has pins in it, and removes everything else", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  const flags = [`--ebpf-bpffs=${mounts.bpffs}`, `--ebpf-cgroup=${mounts.cgroup}`];
  {
    await using proxy = node.start("--proxy-mode=ebpf", ...flags);
    await proxy.inForce();
  }
  const [generation] = [...Deno.readDirSync(mounts.bpffs)].map(({ name }) => `${mounts.bpffs}/${name}`);
  await pinForeignMap(`${generation}/maps/foreign`);
  const first = await node.run(["--cleanup", ...flags]);
  assert.equal(first.code, 1);
  assert.match(
    first.stderr,
    new RegExp(`mode="ebpf" err="ebpf: ${generation} contains pins of other programs`),
  );
  assert.deepEqual([...Deno.readDirSync(`${generation}`)].map(({ name }) => name), ["maps"]);
  assert.deepEqual([...Deno.readDirSync(`${generation}/maps`)].map(({ name }) => name), ["foreign"]);
  await Deno.remove(`${generation}/maps/foreign`);
  const second = await node.run(["--cleanup", ...flags]);
  assert.equal(second.code, 0, second.stderr);
  assert.throws(() => Deno.statSync(mounts.bpffs), Deno.errors.NotFound);
});

Deno.test("the root of a BPF file system is refused, by a start and by --cleanup", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  const root = parentOf(mounts.bpffs);
  await pinForeignMap(`${root}/map`);
  const flags = [`--ebpf-bpffs=${root}`, `--ebpf-cgroup=${mounts.cgroup}`];
  const message = new RegExp(`--ebpf-bpffs ${root} is the root of a mount.*such as ${root}/proxy`);
  const start = await node.run([...node.source, ...node.identity, "--proxy-mode=ebpf", ...flags]);
  assertComplaint(start, /BPF file system/, message);
  const cleanup = await node.run(["--cleanup", ...flags]);
  assert.equal(cleanup.code, 1);
  assert.match(cleanup.stderr, message);
  assert(Deno.statSync(`${root}/map`).isFile);
});
