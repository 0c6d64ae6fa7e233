import assert from "node:assert/strict";
import { Lab } from "../../lab/lab.ts";
import { pollPause } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { reachable } from "./support/objects.ts";

const PAIRS = 50;
const PATIENCE_MS = 60_000;

/** In the range of --nodeport-addresses, so that every mode has to take note of it. */
const NODE_PORT_ADDRESS = "198.18.0.1";

for (const mode of ["nftables", "iptables", "ebpf", "userspace"]) {
  Deno.test(`mode ${mode}: devices of pods that come and go cause no sync`, async () => {
    await using lab = await Lab.create(mode === "ebpf");
    const manifests = `${lab.directory}/manifests`;
    await Deno.mkdir(manifests);
    const items = reachable("web", "10.96.0.10");
    await Deno.writeTextFile(
      `${manifests}/web.json`,
      JSON.stringify({ apiVersion: "v1", kind: "List", items }),
    );
    const flags = ["--nodeport-addresses=198.18.0.0/15", "-v=4"];
    await using proxy = new ProxyProcess(lab, manifests, mode, flags);
    await until(() => proxy.log.includes('"No rules of another mode remain" mode="ipvs"'), proxy);
    const synced = () => [...proxy.log.matchAll(/"Synced" .*/g)].map(String);
    const before = synced().length;

    const ip = async (lines: readonly string[]) => {
      const { code, stderr } = await lab.run("node", [
        "sh",
        "-c",
        `ip -batch - <<'END'\n${lines.join("\n")}\nEND`,
      ]);
      assert.equal(code, 0, stderr);
    };
    const pairs = Array.from({ length: PAIRS }, (_, index) => index);
    await ip(pairs.flatMap((index) => [
      `link add pod${index} type veth peer name peer${index}`,
      `link set pod${index} up`,
      `link set peer${index} up`,
    ]));
    await until(async () => {
      const { stdout } = await lab.run("node", ["ip", "-6", "-oneline", "address", "show", "scope", "link"]);
      const own = stdout.split("\n").filter((line) => /(pod|peer)\d+ /.test(line));
      return own.length === 2 * PAIRS && !own.some((line) => line.includes("tentative"));
    }, proxy);
    await ip(pairs.map((index) => `link delete pod${index}`));
    assert.deepEqual(synced().slice(before), [], proxy.log);

    // Notifications are read in order, so what came before this address has been taken into account.
    await ip([`address add ${NODE_PORT_ADDRESS}/32 dev lo`]);
    await until(() => proxy.log.includes('reason="node settings changed"'), proxy);
    await until(() => synced().length > before, proxy);
    assert.equal(synced().slice(before).length, 1, synced().slice(before).join("\n"));
    proxy.assertRunning();
  });
}

async function until(condition: () => boolean | Promise<boolean>, proxy: ProxyProcess): Promise<void> {
  const began = performance.now();
  while (!await condition()) {
    assert.ok(performance.now() - began < PATIENCE_MS, proxy.log);
    await pollPause(20);
  }
}
