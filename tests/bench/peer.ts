import { parseArgs } from "node:util";
import type { ClusterSize } from "./cluster.ts";
import { type Flavour, flushTables, kubeProxy, ourProxy } from "./contenders.ts";
import { contest, type Rules } from "./contest.ts";
import { modeOf } from "./mode.ts";
import { atLeast, atMost, type Figure, median, rows } from "./report.ts";
import { type Samples, Standings } from "./standings.ts";

// Run by scripts/bench-peer.sh in a network namespace of its own, which has the addresses of the marker's pods and a
// way to 10.96.0.0/12.

const { values } = parseArgs({
  options: {
    mode: { type: "string", default: "nftables" },
    services: { type: "string" },
    "nft-services": { type: "string", default: "1000,4000" },
    endpoints: { type: "string", default: "10" },
    rounds: { type: "string" },
    changes: { type: "string", default: "10" },
    limit: { type: "string", default: "200" },
    "kube-proxy": { type: "string", default: "" },
    proxy: { type: "string", default: "" },
    xtables: { type: "string", default: "" },
  },
});
const mode = modeOf(values.mode, ["nftables", "iptables"]);
const programs = { kubeProxy: values["kube-proxy"], proxy: values.proxy, xtables: values.xtables };
const rules: Rules = {
  rounds: Number(values.rounds ?? (mode === "iptables" ? 1 : 3)),
  changes: Number(values.changes),
  limitMs: Number(values.limit) * 1000,
  flush: () => flushTables(programs),
};

if (mode === "nftables") await compete(values.services ?? "2000");
else {
  await measureAlone(values.services ?? "10000");
  await competeInIptables(values.services ?? "10000", values["nft-services"].split(","));
}
Deno.exit(0);

/** Upstream's time grows faster than the cluster, with iptables-nft far faster, so each flavour has sizes of its own. */
async function competeInIptables(legacySize: string, nftSizes: readonly string[]): Promise<void> {
  const { standings: legacy, ours } = await compete(legacySize, "legacy");
  const bars = [
    ratioFigure(`first programming, iptables-legacy, ${legacySize} services`, legacy, (m) => m.first, 4),
    ratioFigure(`one change, iptables-legacy, ${legacySize} services`, legacy, (m) => m.change, 20),
  ];
  for (const [index, size] of nftSizes.entries()) {
    const { standings } = await compete(size, "nft");
    // The bar is for large clusters.
    const least = index === nftSizes.length - 1 ? 80 : undefined;
    bars.push(
      ratioFigure(`first programming, iptables-nft, ${size} services`, standings, (m) => m.first, least),
    );
  }
  const [resident, peak] = [median(ours.resident), median(ours.peak)];
  bars.push(
    {
      what: `resident, ${legacySize} services`,
      value: `${resident} MB`,
      bar: atMost(resident, 150, "150 MB"),
    },
    { what: `peak, ${legacySize} services`, value: `${peak} MB`, bar: atMost(peak, 350, "350 MB") },
  );
  /** The bars are set for this size. */
  const isRated = legacySize === "10000" && values.endpoints === "10";
  console.log(rows("proxy beside kube-proxy", bars, isRated));
}

function ratioFigure(what: string, standings: Standings, samples: Samples, least?: number): Figure {
  const bar = least === undefined ? {} : { bar: atLeast(standings.ratio(samples), least, "times as fast") };
  return { what, value: `${standings.ratioInWords(samples)} times as fast`, ...bar };
}

/** In a process with the V8 flags of dist/proxy. */
async function measureAlone(services: string): Promise<void> {
  const flags = ["--quiet", "--cached-only", `--v8-flags=${Deno.env.get("PROXY_V8_FLAGS") ?? ""}`, "-A"];
  const size = ["--services", services, "--endpoints", values.endpoints];
  const args = ["run", ...flags, "tests/bench/run.ts", "--mode", mode, ...size, "--backend-only"];
  const { success } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  if (!success) throw new Error("the backend alone cannot be measured");
}

async function compete(services: string, flavour?: Flavour) {
  const size: ClusterSize = { services: Number(services), endpoints: Number(values.endpoints) };
  const times = rules.rounds === 1 ? "1 round" : `${rules.rounds} rounds`;
  console.log(`${size.services} services x ${size.endpoints} endpoints, mode ${mode}, ${times}\n`);
  const measured = await contest(size, rules, (server) => [
    kubeProxy(mode, programs, server, flavour),
    ourProxy(mode, programs, server),
  ]);
  const standings = new Standings(measured, rules.limitMs);
  console.log(`\n${standings.table()}\n`);
  return { standings, ours: measured[1] };
}
