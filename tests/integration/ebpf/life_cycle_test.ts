import assert from "node:assert/strict";
import { planOf } from "../../backends/ebpf/plans.ts";
import { slowness } from "../../lab/pace.ts";
import { rejectionBy } from "../support/backend_process.ts";
import { countedTraffic } from "./support/counted_traffic.ts";
import { attachedTo, emptyMap, mapsAmong, pinnedMaps } from "./support/kernel_objects.ts";
import { isLinux } from "./support/kernel_version.ts";
import type { TestNode } from "./support/sockets/node.ts";
import { settings, withScene } from "./support/sockets/scene.ts";

const web = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.2:8080@here", "10.1.0.3:8080"] });

/** The directory of maps and links; checks that there is only one. */
function directoryOf(node: TestNode): string {
  const names = [...Deno.readDirSync(node.bpffs)].map(({ name }) => name);
  assert.equal(names.length, 1, names.join(", "));
  return `${node.bpffs}/${names[0]}`;
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  const deadline = performance.now() + 10_000 * slowness;
  while (!await holds()) {
    assert(performance.now() < deadline, `${what} did not happen in time`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

Deno.test("a restart takes over maps and links, and no connection fails meanwhile", () =>
  withScene(async ({ node, client, backend }) => {
    assert.deepEqual(await backend.reconcile([web], settings), {
      found: "nothing",
      differences: [],
      compared: "all",
    });
    const kept = await client.sockets.keep("kept", "10.96.0.10", 80);
    const programs = await attachedTo(node.cgroup);
    const maps = await pinnedMaps(`${directoryOf(node)}/maps`);
    assert.equal(programs.size, 8);

    await backend[Symbol.asyncDispose]();
    assert.deepEqual(await client.sockets.ask("kept"), kept);
    const connecting = client.sockets.connectMany("10.96.0.10", 80, 3000);
    for (let restart = 0; restart < 3; restart++) {
      await using again = node.startBackend();
      assert.deepEqual(await again.reconcile([web], settings), {
        found: "ours",
        differences: [],
        compared: "all",
      });
    }
    const answered = await connecting;
    assert.equal(Object.values(answered).reduce((sum, count) => sum + count, 0), 3000);

    // The programs are new; their attachments and maps are not.
    const replaced = await attachedTo(node.cgroup);
    assert.deepEqual([...replaced.keys()].sort(), [...programs.keys()].sort());
    for (const [type, id] of replaced) assert.notEqual(id, programs.get(type));
    assert.deepEqual(await pinnedMaps(`${directoryOf(node)}/maps`), maps);
    assert.deepEqual(await client.sockets.ask("kept"), kept);

    await using last = node.startBackend();
    await last.reconcile([web], settings);
    assert.equal((await countedTraffic(last, web.key)).connections, 3001);
  }));

Deno.test("a start with other map capacities replaces the maps without a gap", () =>
  withScene(async ({ node, client, backend }) => {
    await backend.reconcile([web], settings);
    const before = directoryOf(node);
    await backend[Symbol.asyncDispose]();
    const connecting = client.sockets.connectMany("10.96.0.10", 80, 1500);
    const capacity = { frontends: 1024, endpoints: 1024, connections: 1024, clients: 512 };
    await using larger = node.startBackend({ capacity });
    assert.equal((await larger.reconcile([web], settings)).found, "nothing");
    assert.equal(Object.values(await connecting).reduce((sum, count) => sum + count, 0), 1500);
    assert.notEqual(directoryOf(node), before);
    assert.equal((await attachedTo(node.cgroup)).size, 8);
  }));

Deno.test("cleanup leaves no program, no map and no directory", () =>
  withScene(async ({ node, client, backend }) => {
    await backend.reconcile([web], settings);
    await client.sockets.connect("10.96.0.10", 80);
    const maps = [...(await pinnedMaps(`${directoryOf(node)}/maps`)).values()];
    assert(maps.length >= 10);
    await backend.cleanup();
    await backend.cleanup();
    await backend[Symbol.asyncDispose]();
    assert.throws(() => Deno.statSync(node.bpffs), Deno.errors.NotFound);
    // The kernel frees unreferenced objects after the calls in progress.
    await until("the end of all programs", async () => (await attachedTo(node.cgroup)).size === 0);
    await until("the end of all maps", async () => (await mapsAmong(maps)).length === 0);
  }));

Deno.test("a removed pin is reported and restored, deleted entries are restored by the next reconcile", () =>
  withScene(async ({ node, client, backend }) => {
    await backend.reconcile([web], settings);
    await backend.watch();
    const directory = directoryOf(node);
    await Deno.remove(`${directory}/links/connect4`);
    await backend.untilReported(1);
    assert.match(backend.foreignChanges[0] ?? "", /connect4/);
    const repaired = await backend.reconcile([web], settings);
    assert.notDeepEqual(repaired.differences, []);
    assert.match(repaired.differences.join(), /program connect4 was not attached to cgroup .*/);
    assert.equal((await client.sockets.connect("10.96.0.10", 80)).peer, "10.96.0.10");

    assert.equal(await emptyMap(`${directory}/maps/services`), 2);
    assert.deepEqual(await backend.reconcile([web], settings), {
      found: "ours",
      compared: "all",
      differences: [
        "10.96.0.10:80/TCP of default/web:http was missing",
        "the entry for unused ports of 10.96.0.10 was missing",
      ],
    });
    await Deno.remove(directory, { recursive: true });
    await backend.reconcile([web], settings);
    assert.equal((await client.sockets.connect("10.96.0.10", 80)).peer, "10.96.0.10");
    assert.deepEqual((await backend.reconcile([web], settings)).differences, []);
    const reported = backend.foreignChanges.length;
    await Deno.remove(`${directoryOf(node)}/links/connect6`);
    await until("a report", () => Promise.resolve(backend.foreignChanges.length > reported));
  }));

Deno.test("links are restored and watched again when their directory is gone", () =>
  withScene(async ({ node, client, backend }) => {
    await backend.reconcile([web], settings);
    await backend.watch();
    const directory = directoryOf(node);
    const maps = await pinnedMaps(`${directory}/maps`);
    await Deno.remove(`${directory}/links`, { recursive: true });
    await until("a report", () => Promise.resolve(backend.foreignChanges.length > 0));
    assert.notDeepEqual((await backend.reconcile([web], settings)).differences, []);
    assert.equal((await client.sockets.connect("10.96.0.10", 80)).peer, "10.96.0.10");
    assert.equal((await attachedTo(node.cgroup)).size, 8);
    assert.deepEqual(await pinnedMaps(`${directory}/maps`), maps);
    assert.deepEqual((await backend.reconcile([web], settings)).differences, []);
    const reported = backend.foreignChanges.length;
    await Deno.remove(`${directory}/links/connect6`);
    await until("another report", () => Promise.resolve(backend.foreignChanges.length > reported));
  }));

Deno.test("a removed cgroup is reported, and gets its programs when it is created again", () =>
  withScene(async ({ node }) => {
    const cgroup = `${node.cgroup}/short-lived`;
    await Deno.mkdir(cgroup);
    await using backend = node.startBackend({ cgroup });
    await backend.reconcile([web], settings);
    await backend.watch();
    await Deno.remove(cgroup);
    // bpffs does not report the removed cgroup, but a removed link makes the backend check.
    await Deno.remove(`${directoryOf(node)}/links/connect4`);
    await backend.untilReported(1);
    assert.match(backend.foreignChanges[0] ?? "", /connect6.* are not attached to cgroup .*short-lived/);
    const error = await rejectionBy(() => backend.reconcile([web], settings));
    assert.match(error.message, /cgroup \S+short-lived is gone: create it, or name another one/);
    await Deno.mkdir(cgroup);
    assert.notDeepEqual((await backend.reconcile([web], settings)).differences, []);
    assert.equal((await attachedTo(cgroup)).size, 8);
    await Deno.remove(cgroup);
  }));

Deno.test("the probe reports what is present and what is missing", () =>
  withScene(async ({ node, backend }) => {
    const requirements = await backend.probe();
    assert.deepEqual(requirements.filter(({ found }) => !found), []);
    // The details name the chosen method.
    const details = requirements.map(({ detail }) => detail).join("\n");
    assert.match(details, isLinux(6, 6) ? /devices with links \(tcx\)/ : /devices with filters \(clsact\)/);
    if (!isLinux(6, 5)) assert.match(details, /sock_diag ends them/);
    await using misconfigured = node.startBackend({ bpffs: "/run/nowhere", cgroup: "/run/nowhere" });
    const missing = (await misconfigured.probe()).filter(({ found }) => !found).map(({ detail }) => detail);
    assert.match(
      missing[0] ?? "",
      /--ebpf-bpffs \/run\/nowhere is on \S+ at \S+\. Mount one: mount -t bpf bpf/,
    );
    assert.match(missing[1] ?? "", /--ebpf-cgroup \/run\/nowhere is not a directory in a cgroup v2 mount/);
    // Without capabilities no program can be loaded.
    await using unprivileged = node.startBackend({}, ["setpriv", "--bounding-set=-all", "--inh-caps=-all"]);
    assert.match(
      (await unprivileged.probe()).filter(({ found }) => !found).map(({ detail }) => detail).join(),
      /CAP_BPF/,
    );
  }));
