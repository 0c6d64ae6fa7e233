import assert from "node:assert/strict";
import { ebpf } from "../../../backends/ebpf/mode.ts";
import { type EbpfOptions, readEbpfOptions } from "../../../backends/ebpf/options.ts";
import { nftables } from "../../../backends/nftables/mode.ts";
import { defineMode, type Modes } from "../../../core/backend/mode.ts";
import { load } from "../../core/config/loaded.ts";

/** Reads the options from a command line. */
async function optionsOf(...args: readonly string[]): Promise<EbpfOptions> {
  let read: EbpfOptions | undefined;
  const mode = defineMode({
    ...ebpf,
    readOptions: (source) => read = readEbpfOptions(source),
    create: () => assert.fail("not part of this test"),
  });
  const modes: Modes = [nftables, mode];
  await load(args, "", modes);
  assert.ok(read);
  return read;
}

Deno.test("the flags of mode ebpf set its directories, its devices, its ways and its capacities", async () => {
  const options = await optionsOf(
    "--proxy-mode=ebpf",
    "--ebpf-bpffs=/sys/fs/bpf/other",
    "--ebpf-cgroup=/sys/fs/cgroup/kubepods.slice",
    "--ebpf-sockets=node",
    "--ebpf-devices=eth0,eth1",
    "--ebpf-balancing=maglev",
    "--ebpf-forward=stack",
    "--ebpf-redirect-peer=false",
    "--ebpf-maglev-table-size=251",
    "--ebpf-max-endpoints=1000",
    "--conntrack-udp-timeout=7s",
  );
  assert.deepEqual(options, {
    bpffs: "/sys/fs/bpf/other",
    cgroup: "/sys/fs/cgroup/kubepods.slice",
    sockets: "node",
    devices: ["eth0", "eth1"],
    balancing: "maglev",
    forwarding: "stack",
    redirectPeer: false,
    maglevTableSize: 251,
    capacity: { frontends: 131072, endpoints: 1000, connections: 131072, clients: 65536 },
    timeouts: options.timeouts,
  });
  assert.equal(options.timeouts.udpTimeoutMs, 7000);
});

Deno.test("the old names of the capacity flags are accepted with a warning", async () => {
  const args = ["--proxy-mode=ebpf", "--cluster-cidr=10.0.0.0/8", "--ebpf-most-endpoints=1000"];
  assert.equal((await optionsOf(...args)).capacity.endpoints, 1000);
  assert.deepEqual((await load(args)).warnings, [
    "--ebpf-most-endpoints is deprecated: use --ebpf-max-endpoints",
  ]);
});

Deno.test("a mistake in a flag of mode ebpf is reported under the name that was written", async () => {
  const wrong = {
    "--ebpf-maglev-table-size=1020": /--ebpf-maglev-table-size 1020: must be a prime/,
    "--ebpf-balancing=fair": /--ebpf-balancing "fair": must be one of random, maglev/,
    "--ebpf-forward=fast": /--ebpf-forward "fast": must be one of auto, direct, stack/,
    "--ebpf-sockets=pods": /--ebpf-sockets "pods": must be one of all, node/,
    "--ebpf-bpffs=bpf": /--ebpf-bpffs "bpf": must be an absolute path/,
    "--ebpf-bpffs=/sys/fs/bpf/": /must be an absolute path without a slash at its end/,
    "--ebpf-max-clients=0": /--ebpf-max-clients 0: must be between 1 and 67108864/,
    "--ebpf-most-clients=0": /--ebpf-most-clients 0: must be between 1 and 67108864/,
  };
  for (const [flag, message] of Object.entries(wrong)) {
    await assert.rejects(optionsOf("--proxy-mode=ebpf", flag), message);
    // Other modes read the options for cleanup only.
    await optionsOf("--proxy-mode=nftables", flag);
  }
});
