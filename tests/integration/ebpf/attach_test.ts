import assert from "node:assert/strict";
import { Pins } from "../../../backends/ebpf/programs/pins.ts";
import { DIRECTIONS } from "../../../backends/ebpf/programs/network_device.ts";
import { DEVICE } from "../../../backends/ebpf/maps/layout.ts";
import { BpfLink } from "../../../ffi/bpf/link.ts";
import { libbpf } from "../../../ffi/libraries/libbpf.ts";
import { libc } from "../../../ffi/libraries/libc.ts";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { slowness } from "../../lab/pace.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";
import { isLinux } from "./support/kernel_version.ts";
import { LineProcess } from "./support/line_process.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

const DRIVER = new URL("./support/attach_driver.ts", import.meta.url).pathname;

// Open the libraries before the tests, because they stay open and the sanitizer would report them.
libbpf();
libc();

for (const method of ["tcx", "clsact"] as const) {
  const ignore = method === "tcx" && !isLinux(6, 6);
  Deno.test(`programs are attached to devices by ${method}, also to new devices`, { ignore }, async () => {
    await using mounts = await PrivateMounts.make();
    await using namespace = await NetworkNamespace.make();
    await namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "lan");
    const start = (...devices: readonly string[]) => follow(namespace, mounts.bpffs, method, devices);
    const programsOn = (device: string) =>
      method === "tcx" ? links(mounts.bpffs, namespace, device) : filters(namespace, device);
    {
      await using _first = await start();
      assert.equal((await programsOn("eth0")).length, 2);
      assert.deepEqual(await programsOn("lo"), []);
      await namespace.run("ip", "link", "add", "pod1", "type", "veth", "peer", "name", "away");
      await until(async () => (await programsOn("pod1")).length === 2);
      await namespace.run("ip", "link", "delete", "pod1");
    }
    // The programs stay attached without a process, and the next process replaces them.
    const before = await programsOn("eth0");
    assert.equal(before.length, 2);
    await using _second = await start("eth0");
    const after = await programsOn("eth0");
    assert.equal(after.length, 2);
    assert.notDeepEqual(after, before);
    // A device that is not chosen any more.
    assert.deepEqual(await programsOn("lan"), []);
  });
}

Deno.test("links pinned by an earlier version as arrive-N and leave-N are taken over", {
  ignore: !isLinux(6, 6),
}, async () => {
  await using mounts = await PrivateMounts.make();
  await using namespace = await NetworkNamespace.make();
  await namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "lan");
  const start = () => follow(namespace, mounts.bpffs, "tcx", ["eth0"]);
  const directory = new Pins(mounts.bpffs, smallOptions.capacity).link(".");
  const pinned = () => [...Deno.readDirSync(directory)].map(({ name }) => name).sort();
  {
    await using _first = await start();
  }
  const [names, programs] = [pinned(), await links(mounts.bpffs, namespace, "eth0")];
  assert.equal(names.length, 2);
  for (const name of names) {
    const earlier = name.replace("ingress", "arrive").replace("egress", "leave");
    await Deno.rename(`${directory}/${name}`, `${directory}/${earlier}`);
  }
  await using second = await start();
  assert.deepEqual(await second.ask("follow"), []);
  assert.deepEqual(pinned(), names);
  assert.equal((await links(mounts.bpffs, namespace, "eth0")).length, 2);
  // A program that is still attached to the device would not be freed.
  await until(async () => {
    const all: readonly { readonly id: number }[] = JSON.parse(await namespace.run("bpftool", "-j", "prog"));
    return !all.some(({ id }) => programs.includes(id));
  });
});

Deno.test("filters that another program removes from a device are reported and restored", async () => {
  await using mounts = await PrivateMounts.make();
  await using namespace = await NetworkNamespace.make();
  await namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "lan");
  await using following = await follow(namespace, mounts.bpffs, "clsact", ["eth0"]);
  const assertRestored = async (...tcArgs: readonly string[]) => {
    const before = (await following.ask("reports")).length;
    await namespace.run("tc", ...tcArgs);
    await until(async () => (await following.ask("reports")).length > before);
    assert.equal((await following.ask("reports")).at(-1), "filters of device eth0 were removed");
    // The backend reconciles after a report.
    await following.ask("follow");
    assert.equal((await filters(namespace, "eth0")).length, 2);
  };
  await assertRestored("filter", "delete", "dev", "eth0", "ingress");
  await assertRestored("qdisc", "delete", "dev", "eth0", "clsact");
  // Neither changes of other devices nor a removed device are reported.
  const before = await following.ask("reports");
  await namespace.run("tc", "qdisc", "add", "dev", "lan", "clsact");
  await namespace.run("tc", "qdisc", "delete", "dev", "lan", "clsact");
  await namespace.run("ip", "link", "delete", "eth0");
  await new Promise((resolve) => setTimeout(resolve, 100 * slowness));
  assert.deepEqual(await following.ask("reports"), before);
});

Deno.test("pods are behind a device with a matching name, and behind ports of such a bridge", async () => {
  await using mounts = await PrivateMounts.make();
  await using namespace = await NetworkNamespace.make();
  await namespace.run("ip", "link", "add", "pods0", "type", "bridge");
  await namespace.run("ip", "link", "add", "port", "type", "veth", "peer", "name", "other");
  await namespace.run("ip", "link", "set", "port", "master", "pods0");
  await using _following = await follow(namespace, mounts.bpffs, "clsact", []);
  assert.deepEqual(await devicesOfPods(mounts.bpffs, namespace), ["pods0", "port"]);
  await namespace.run("ip", "link", "set", "port", "nomaster");
  await until(async () => (await devicesOfPods(mounts.bpffs, namespace)).join() === "pods0");
});

for (const method of ["tcx", "clsact"] as const) {
  const ignore = method === "tcx" && !isLinux(6, 6);
  Deno.test(`the node's side of a veth pair is skipped only if nothing else is attached there (${method})`, {
    ignore,
  }, async () => {
    await using mounts = await PrivateMounts.make();
    await using namespace = await NetworkNamespace.make();
    await using pod = await NetworkNamespace.make();
    await namespace.run("ip", "link", "add", "veth1", "type", "veth", "peer", "eth0", "netns", pod.name);
    // Both sides in one namespace: the kernel would drop the packets.
    await namespace.run("ip", "link", "add", "veth2", "type", "veth", "peer", "name", "veth3");
    await namespace.run("ip", "link", "set", "veth1", "up");
    await using following = await follow(namespace, mounts.bpffs, method, []);
    const skipped = async () => {
      await following.ask("follow");
      return await devicesWith(DEVICE.HAS_PEER, mounts.bpffs, namespace);
    };
    // The first time, our own programs were not attached yet.
    assert.deepEqual(await skipped(), ["veth1"]);
    const filter = ["dev", "veth1", "egress", "prio", "1", "bpf", "bytecode", "1,6 0 0 0"];
    for (
      const [attach, detach] of [
        [["tc", "qdisc", "add", "dev", "veth1", "root", "pfifo"], [
          "tc",
          "qdisc",
          "del",
          "dev",
          "veth1",
          "root",
        ]],
        [[
          "nft",
          "add table netdev t; add chain netdev t c { type filter hook egress device veth2 priority 0; }",
        ], [
          "nft",
          "delete table netdev t",
        ]],
        ...method === "tcx"
          ? []
          : [[["tc", "filter", "add", ...filter], ["tc", "filter", "del", ...filter.slice(0, 5)]]],
      ] as const
    ) {
      await namespace.run(...attach);
      assert.deepEqual(await skipped(), [], attach.join(" "));
      await namespace.run(...detach);
      assert.deepEqual(await skipped(), ["veth1"], detach.join(" "));
    }
    if (method === "clsact") return;
    await namespace.run("tc", "qdisc", "add", "dev", "veth1", "clsact");
    assert.deepEqual(await skipped(), ["veth1"]);
    await namespace.run("tc", "filter", "add", ...filter);
    assert.deepEqual(await skipped(), []);
    await namespace.run("tc", "qdisc", "del", "dev", "veth1", "clsact");
    // Programs of somebody else.
    await using others = await PrivateMounts.make();
    await using _others = await follow(namespace, others.bpffs, method, ["veth1"]);
    assert.deepEqual(await skipped(), []);
  });
}

Deno.test("a device without Ethernet headers gets the programs for L3 devices", async () => {
  await using mounts = await PrivateMounts.make();
  await using namespace = await NetworkNamespace.make();
  await namespace.run("ip", "tuntap", "add", "tun0", "mode", "tun");
  await namespace.run("ip", "link", "add", "eth0", "type", "veth", "peer", "name", "lan");
  await using _following = await follow(namespace, mounts.bpffs, "clsact", []);
  for (const [device, layer] of [["tun0", "l3"], ["eth0", "l2"]] as const) {
    const names: string[] = [];
    for (const id of await filters(namespace, device)) {
      names.push(JSON.parse(await namespace.run("bpftool", "-j", "prog", "show", "id", `${id}`)).name);
    }
    assert.deepEqual(names, DIRECTIONS.map((direction) => `${direction}_${layer}`));
  }
});

function devicesOfPods(bpffs: string, namespace: NetworkNamespace): Promise<readonly string[]> {
  return devicesWith(DEVICE.LOCAL_PODS, bpffs, namespace);
}

/** Names of the devices whose entries have a flag. */
async function devicesWith(
  flag: number,
  bpffs: string,
  namespace: NetworkNamespace,
): Promise<readonly string[]> {
  const map = new Pins(bpffs, smallOptions.capacity).map("devices");
  const entries: readonly {
    readonly formatted: { readonly key: number; readonly value: { flags: number } };
  }[] = JSON.parse(await namespace.run("bpftool", "-j", "map", "dump", "pinned", map));
  const links: readonly { readonly ifindex: number; readonly ifname: string }[] = JSON.parse(
    await namespace.run("ip", "-j", "link", "show"),
  );
  return links
    .filter(({ ifindex }) =>
      entries.some(({ formatted: { key, value } }) => key === ifindex && (value.flags & flag) !== 0)
    )
    .map(({ ifname }) => ifname).sort();
}

async function follow(
  { name }: NetworkNamespace,
  bpffs: string,
  method: string,
  devices: readonly string[],
): Promise<LineProcess> {
  const deno = [Deno.execPath(), "run", "--quiet", "--no-check", "-A", DRIVER];
  const process = new LineProcess("ip", ["netns", "exec", name, ...deno, bpffs, method, ...devices]);
  await process.ask("follow");
  return process;
}

/** Returns the ids of the programs in a device's filters. */
async function filters(namespace: NetworkNamespace, device: string): Promise<readonly number[]> {
  const [{ tc = [] } = {}] = JSON.parse(await namespace.run("bpftool", "-j", "net", "show", "dev", device));
  return tc.map(({ id }: { readonly id: number }) => id);
}

/**
 * Returns the ids of the programs in a device's pinned links, because bpftool of Debian 12 does not know tcx.
 */
async function links(bpffs: string, namespace: NetworkNamespace, device: string): Promise<readonly number[]> {
  const [{ ifindex }] = JSON.parse(await namespace.run("ip", "-j", "link", "show", device));
  const pins = new Pins(bpffs, smallOptions.capacity);
  return DIRECTIONS.flatMap((direction) => {
    using link = BpfLink.pinned(direction, pins.link(`${direction}-${ifindex}`));
    const info = link?.info();
    return info?.ifindex === ifindex ? [info?.programId ?? 0] : [];
  });
}

async function until(condition: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 5000 * slowness; !await condition();) {
    assert(Date.now() < deadline, "the condition did not become true in time");
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}
