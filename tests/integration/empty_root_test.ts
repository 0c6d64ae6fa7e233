import assert from "node:assert/strict";
import { NetworkNamespace, run } from "./support/network_namespace.ts";

const project = new URL("../../", import.meta.url).pathname;

Deno.test("the binary uses netlink without an installed libnl and without a writable disk", async () => {
  await run(`${project}scripts/build.sh`);
  await using namespace = await NetworkNamespace.make();
  await namespace.run("nft", "add table ip kube-proxy");
  await namespace.run(`${project}tests/integration/empty_root.sh`, `${project}dist/proxy`, "--cleanup");
  assert.equal(await namespace.run("nft", "list", "ruleset"), "");
});

Deno.test("the binary contains its BPF programs and the library that loads them", async () => {
  await run(`${project}scripts/build.sh`);
  const { stdout } = await new Deno.Command(`${project}tests/integration/empty_root.sh`, {
    args: [`${project}dist/proxy`, "check", "--proxy-mode", "ebpf"],
  }).output();
  const said = new TextDecoder().decode(stdout);
  assert.match(said, /ok +ebpf +BPF programs for sockets of this node +the kernel accepts them/);
  assert.match(said, /ok +ebpf +BPF programs for packets from outside +the kernel accepts them/);
  assert.match(said, /MISSING +ebpf +BPF file system .*mount -t bpf bpf/);
});
