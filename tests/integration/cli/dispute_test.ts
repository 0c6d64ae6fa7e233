import assert from "node:assert/strict";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

/** Time of dispute in which repairs are counted. At most two repairs per second would fit in without a backoff. */
const COUNTED_MS = 8000;
/** After 1, 3, 6 and 9 s, and one for a change that was pending. */
const MAX_REPAIRS = 5;

const disputes = [
  { mode: "nftables", program: "nft", change: "nft delete table ip kube-proxy" },
  { mode: "iptables", program: "iptables-nft", change: "iptables-nft -t nat -F PREROUTING" },
];

for (const { mode, program, change } of disputes) {
  Deno.test(`mode ${mode} names a program that keeps undoing its repairs, and repairs ever more rarely`, async () => {
    await using node = await Node.make();
    await node.write("web.json", reachable("web", "10.96.0.10"));
    await using proxy = node.start(
      `--proxy-mode=${mode}`,
      "--iptables-sync-period=3s",
      "--logging-format=json",
      "-v=2",
    );
    await proxy.inForce();
    // Ends by itself if the test fails to end it.
    const script = `for i in $(seq 2000); do ${change} 2>/dev/null; sleep 0.02; done`;
    const offender = node.spawn(["sh", "-c", script]);
    try {
      await proxy.logs(/Another program keeps changing our kernel objects/);
      const [begin] = linesOf(proxy, "Another program");
      assert.equal(begin?.["program"], program);
      assert.match(String(begin?.["change"]), new RegExp(` by ${program} \\(pid \\d+\\)$`));
      const before = repairs(proxy).length;
      await new Promise((resolve) => setTimeout(resolve, COUNTED_MS));
      const during = repairs(proxy).slice(before);
      assert.ok(during.length <= MAX_REPAIRS, `${during.length} repairs in ${COUNTED_MS} ms`);
      assert.ok(during.every(({ v }) => v === 2), "single repairs are logged at verbosity 2");

      await node.write("other.json", reachable("other", "10.96.0.11"));
      await proxy.until(
        () => repairs(proxy).some(({ services }) => services === 2),
        "change during the dispute",
      );
    } finally {
      offender.kill("SIGKILL");
      await Promise.all([offender.stdout.cancel(), offender.stderr.cancel(), offender.status]);
    }
    await proxy.logs(/The other program no longer changes our kernel objects/);
    assert.equal(linesOf(proxy, "Another program").length, 1, "a dispute is logged once");
    assert.match(await node.ruleset(), /10\.96\.0\.11/);
    assert.ok(proxy.isRunning);
  });
}

type Line = Readonly<Record<string, unknown>>;

function linesOf(proxy: RunningProxy, message: string): readonly Line[] {
  return proxy.log.split("\n").filter((line) => line.startsWith("{"))
    .map((line): Line => JSON.parse(line)).filter(({ msg }) => String(msg).startsWith(message));
}

function repairs(proxy: RunningProxy): readonly Line[] {
  return linesOf(proxy, "Reconciled");
}
