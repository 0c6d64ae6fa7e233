import assert from "node:assert/strict";
import { slowness } from "../../lab/pace.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { Node } from "./support/node.ts";

// Effects of confinement by systemd, a container engine or limits. docs/operations.md#confinement has a line for each.

interface Result {
  readonly code: number;
  readonly signal: Deno.Signal | null;
  readonly output: string;
}

/** Runs bash in a mount namespace on a node. `$proxy` is the program. */
async function confined(script: string): Promise<Result> {
  await using node = await Node.make();
  const process = node.spawn([
    ...["timeout", "--signal=KILL", String(30 * slowness), "unshare", "--mount", "--propagation=private"],
    ...["bash", "-euc", `proxy=$1; ${script}`, "_", proxyBinary],
  ]);
  const { code, signal, stdout, stderr } = await process.output();
  const decoder = new TextDecoder();
  return { code, signal, output: decoder.decode(stdout) + decoder.decode(stderr) };
}

/** PR_SET_MDWE with PR_MDWE_REFUSE_EXEC_GAIN (linux/prctl.h), which systemd's MemoryDenyWriteExecute=yes sets. */
const denyWriteExecute = `exec python3 -c '
import ctypes, os, sys
assert ctypes.CDLL(None).prctl(65, 1, 0, 0, 0) == 0
os.execv(sys.argv[1], sys.argv[1:])'`;

Deno.test("with MemoryDenyWriteExecute the process ends at once, because V8 compiles to memory", async () => {
  const { code, output } = await confined(`${denyWriteExecute} $proxy version`);
  assert.notEqual(code, 0);
  // The kernel decides which of the calls of V8 fails first.
  assert.match(
    output,
    /Fatal process out of memory: Failed to reserve virtual memory for CodeRange|Fatal error in/,
  );
});

Deno.test("with a limit of the address space the process ends at once, because V8 reserves more than it uses", async () => {
  const { code, output } = await confined("ulimit -v 4000000; exec $proxy version");
  assert.notEqual(code, 0);
  assert.match(output, /Fatal process out of memory: Oilpan: CagedHeap reservation/);
});

Deno.test("without /proc the process ends at once and says so", async () => {
  const { code, output } = await confined("mount -t tmpfs tmpfs /proc; exec $proxy version");
  assert.notEqual(code, 0);
  assert.match(output, /no \/proc\/self\/exe available\. Is \/proc mounted\?/);
});

for (
  const [what, script] of [
    [
      "/proc hides other processes (ProtectProc=invisible)",
      "mount -t proc -o hidepid=invisible,subset=pid proc /proc;",
    ],
    ["/sys is empty", "mount -t tmpfs tmpfs /sys;"],
    [
      "no directory is writable and /dev is empty",
      "mount -t tmpfs tmpfs /dev; mount -o remount,bind,ro /;",
    ],
    ["its environment is empty and standard input is closed", "exec <&-;"],
    ["it may open 64 files", "ulimit -n 64;"],
  ] as const
) {
  Deno.test(`modes nftables and iptables need nothing else if ${what}`, async () => {
    for (const mode of ["nftables", "iptables"]) {
      const { code, output } = await confined(`${script} exec env -i $proxy check --proxy-mode=${mode}`);
      assert.equal(code, 0, output);
      assert.doesNotMatch(output, /MISSING/);
    }
  });
}

Deno.test("CAP_NET_ADMIN of a user namespace is not that of the node's network namespace, and the message says so", async () => {
  const { code, output } = await confined("exec unshare --user --map-root-user $proxy check");
  assert.equal(code, 1);
  for (const modes of ["nftables iptables ipvs", "userspace"]) {
    const missing =
      `MISSING +${modes} +CAP_NET_ADMIN .*this network namespace belongs to another user namespace`;
    assert.match(output, new RegExp(missing));
  }
});
