import assert from "node:assert/strict";
import { parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { loadConfig } from "../../../core/config/load.ts";

async function configOf(...args: readonly string[]) {
  const host = { hostname: "node-a", readTextFile: () => Promise.reject(new Deno.errors.NotFound()) };
  return (await loadConfig(parseCommandLine(args), ["nftables", "ebpf"], host)).config;
}

Deno.test("flags of mode ebpf say where it is pinned, whose sockets are balanced, and what there is room for", async () => {
  const { ebpf } = await configOf(
    "--proxy-mode=ebpf",
    "--ebpf-bpffs=/sys/fs/bpf/other",
    "--ebpf-cgroup=/sys/fs/cgroup/kubepods.slice",
    "--ebpf-devices=eth0,eth1",
    "--ebpf-balancing=maglev",
    "--ebpf-maglev-table-size=251",
    "--ebpf-most-endpoints=1000",
    "--conntrack-udp-timeout=7s",
  );
  assert.deepEqual(ebpf, {
    bpffs: "/sys/fs/bpf/other",
    cgroup: "/sys/fs/cgroup/kubepods.slice",
    devices: ["eth0", "eth1"],
    balancing: "maglev",
    maglevTableSize: 251,
    room: { frontends: 131072, endpoints: 1000, connections: 131072, clients: 65536 },
    timeouts: ebpf.timeouts,
  });
  assert.equal(ebpf.timeouts.udpTimeoutMs, 7000);
});

Deno.test("what is wrong with a flag of mode ebpf is said by its name", async () => {
  const wrong = {
    "--ebpf-maglev-table-size=1020": /--ebpf-maglev-table-size 1020: must be a prime/,
    "--ebpf-balancing=fair": /--ebpf-balancing "fair": must be one of random, maglev/,
    "--ebpf-bpffs=bpf": /--ebpf-bpffs "bpf": must be an absolute path/,
    "--ebpf-bpffs=/sys/fs/bpf/": /must be an absolute path, without a slash at its end/,
    "--ebpf-most-clients=0": /--ebpf-most-clients 0: must be within 1 and 67108864/,
  };
  for (const [flag, message] of Object.entries(wrong)) {
    await assert.rejects(configOf("--proxy-mode=ebpf", flag), message);
    // Other modes only clean up after it.
    await configOf("--proxy-mode=nftables", flag);
  }
});
