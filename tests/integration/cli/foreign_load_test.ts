import assert from "node:assert/strict";
import { collect } from "./support/collect.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

/** The kernel holds the mutex of nf_tables for seconds to add them. */
const FOREIGN_ELEMENTS = 400_000;

/** A change that waits for less time says nothing about the HTTP servers. */
const LONG_WAIT_MS = 1000;
const MAX_ATTEMPTS = 5;

/** A scrape waits for the kernel's counters, but not longer (SOURCE_MS), and is then encoded. */
const LONGEST_SCRAPE_MS = 6000;

type Server = "healthz" | "metrics";

for (const mode of ["nftables", "iptables"]) {
  Deno.test(`mode ${mode}: HTTP requests are answered while a change waits for another program's transaction`, async () => {
    await using node = await Node.make();
    await node.write("web.json", reachable("web", "10.96.0.10"));
    await Deno.writeTextFile(`${node.directory}/foreign.nft`, foreignRuleset());
    await using proxy = node.start(`--proxy-mode=${mode}`, "--iptables-min-sync-period=0s", "-v=4");
    await proxy.inForce();

    // The transaction may end before a change met it.
    for (let attempt = 1;; attempt++) {
      const { waitedMs, longestMs } = await loadForeignRuleset(node, proxy);
      const found = `health was answered within ${longestMs.healthz.toFixed(0)} ms, ` +
        `metrics within ${longestMs.metrics.toFixed(0)} ms, a change waited for ${waitedMs.toFixed(0)} ms`;
      console.log(`    ${found}`);
      if (waitedMs < LONG_WAIT_MS && attempt < MAX_ATTEMPTS) continue;
      assert.ok(waitedMs >= LONG_WAIT_MS, found);
      // A blocked main thread answers only when the change has its turn.
      assert.ok(longestMs.healthz < waitedMs / 2, `${found}\n${proxy.log}`);
      assert.ok(longestMs.metrics < Math.max(waitedMs / 2, LONGEST_SCRAPE_MS), `${found}\n${proxy.log}`);
      break;
    }

    await node.write("api.json", reachable("api", "10.96.0.11"));
    const isInForce = async () => (await node.namespace.run(...LISTING)).includes("10.96.0.11");
    await proxy.until(isInForce, "change in force afterwards");
    assert.ok(proxy.isRunning);
  });
}

/** Without the foreign elements, which take seconds to list. */
const LISTING = [
  "sh",
  "-c",
  "nft list table ip kube-proxy || nft list table ip nat",
];

/** Loads the foreign ruleset while services change and requests are made. Removes it again. */
async function loadForeignRuleset(
  node: Node,
  proxy: RunningProxy,
): Promise<{ readonly waitedMs: number; readonly longestMs: Readonly<Record<Server, number>> }> {
  const logged = proxy.log.length;
  const asking = node.spawn(["sh", "-c", ASK_UNTIL_KILLED]);
  const asked = Promise.all([collect(asking.stdout), collect(asking.stderr)]);
  let isDone = false;
  const foreign = node.namespace.run("nft", "-f", `${node.directory}/foreign.nft`)
    .finally(() => isDone = true);
  // Each change is a small transaction.
  for (let change = 0; !isDone; change++) {
    await node.write("web.json", reachable("web", "10.96.0.10", `10.244.1.${11 + change % 2}`));
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  await foreign;
  // The change that met the transaction is logged when it is in force.
  const synced = () =>
    [...proxy.log.slice(logged).matchAll(/"Synced" .*seconds=([\d.e-]+)/g)].map(([, seconds]) =>
      Number(seconds)
    );
  await proxy.until(() => synced().length > 0, "change during the foreign transaction");
  asking.kill("SIGTERM");
  const [times, problems] = await asked;
  await node.namespace.run("nft", "delete", "table", "inet", "foreign");
  const longestMs = (server: Server): number => {
    const seconds = [...times.matchAll(/^(\w+) ([\d.]+)$/gm)].filter(([, name]) => name === server)
      .map(([, , time]) => Number(time));
    assert.ok(seconds.length > 1, `${times}\n${problems}\n${proxy.log}`);
    return 1000 * Math.max(...seconds);
  };
  return {
    waitedMs: 1000 * Math.max(...synced()),
    longestMs: { healthz: longestMs("healthz"), metrics: longestMs("metrics") },
  };
}

/** Requests health and metrics in turn, and writes the name and the seconds of each answer. */
const ASK_UNTIL_KILLED = `
while :; do
  for url in 127.0.0.1:10256/healthz 127.0.0.1:10249/metrics; do
    time=$(curl --silent --noproxy '*' --max-time 60 --output /dev/null --write-out '%{time_total}' "http://$url") || exit
    echo "\${url##*/} $time"
    sleep 0.05
  done
done`;

/** A table whose set has an element per address from 20.0.0.0 on. */
function foreignRuleset(): string {
  const elements = Array.from({ length: FOREIGN_ELEMENTS }, (_, index) => {
    const [high, middle, low] = [index >> 16, index >> 8 & 0xff, index & 0xff];
    return `20.${high}.${middle}.${low}`;
  });
  return `table inet foreign {
  set blocked { type ipv4_addr; elements = { ${elements.join(", ")} }; }
}
`;
}
