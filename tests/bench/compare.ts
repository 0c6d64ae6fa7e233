import { parseArgs } from "node:util";
import type { ClusterSize } from "./cluster.ts";
import { compare, type ComparisonOptions } from "./comparison/comparison.ts";
import { flushTables, type IptablesFlavour, kubeProxy, ourProxy } from "./comparison/subjects.ts";
import { type Samples, Summary } from "./comparison/summary.ts";
import { modeOf } from "./mode.ts";
import { atLeast, atMost, type Figure, median, rows } from "./report.ts";

// Compares this proxy with kube-proxy. scripts/bench-peer.sh runs it in a network namespace that has the addresses of
// the marker's pods and a route to 10.96.0.0/12.

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
const options: ComparisonOptions = {
  rounds: Number(values.rounds ?? (mode === "iptables" ? 1 : 3)),
  changes: Number(values.changes),
  limitMs: Number(values.limit) * 1000,
  flush: () => flushTables(programs),
};

if (mode === "nftables") await compareAt(values.services ?? "2000");
else {
  await measureBackendAlone(values.services ?? "10000");
  await compareIptables(values.services ?? "10000", values["nft-services"].split(","));
}
Deno.exit(0);

/**
 * Compares mode iptables with both flavours of iptables. The time of kube-proxy grows faster than the cluster, with
 * iptables-nft far faster, so each flavour has its own cluster sizes.
 */
async function compareIptables(legacySize: string, nftSizes: readonly string[]): Promise<void> {
  const { summary: legacy, proxy } = await compareAt(legacySize, "legacy");
  const figures = [
    ratioFigure(`first programming, iptables-legacy, ${legacySize} services`, legacy, (m) => m.first, 4),
    ratioFigure(`one change, iptables-legacy, ${legacySize} services`, legacy, (m) => m.change, 20),
  ];
  for (const [index, size] of nftSizes.entries()) {
    const { summary } = await compareAt(size, "nft");
    // Only the largest cluster has a target.
    const min = index === nftSizes.length - 1 ? 80 : undefined;
    figures.push(
      ratioFigure(`first programming, iptables-nft, ${size} services`, summary, (m) => m.first, min),
    );
  }
  const [resident, peak] = [median(proxy.resident), median(proxy.peak)];
  figures.push(
    {
      name: `resident memory, ${legacySize} services`,
      value: `${resident} MB`,
      target: atMost(resident, 150, "150 MB"),
    },
    { name: `peak memory, ${legacySize} services`, value: `${peak} MB`, target: atMost(peak, 350, "350 MB") },
  );
  const hasTargets = legacySize === "10000" && values.endpoints === "10";
  console.log(rows("proxy compared with kube-proxy", figures, hasTargets));
}

function ratioFigure(name: string, summary: Summary, samples: Samples, min?: number): Figure {
  const target = min === undefined ? {} : { target: atLeast(summary.ratio(samples), min, "times as fast") };
  return { name, value: `${summary.formatRatio(samples)} times as fast`, ...target };
}

/** Runs the benchmark of the backend in a process with the V8 flags of dist/proxy. */
async function measureBackendAlone(services: string): Promise<void> {
  const flags = ["--quiet", "--cached-only", `--v8-flags=${Deno.env.get("PROXY_V8_FLAGS") ?? ""}`, "-A"];
  const size = ["--services", services, "--endpoints", values.endpoints];
  const args = ["run", ...flags, "tests/bench/run.ts", "--mode", mode, ...size, "--backend-only"];
  const { success } = await new Deno.Command(Deno.execPath(), { args }).spawn().status;
  if (!success) throw new Error("the benchmark of the backend alone failed");
}

async function compareAt(services: string, flavour?: IptablesFlavour) {
  const size: ClusterSize = { services: Number(services), endpoints: Number(values.endpoints) };
  const rounds = options.rounds === 1 ? "1 round" : `${options.rounds} rounds`;
  console.log(`${size.services} services x ${size.endpoints} endpoints, mode ${mode}, ${rounds}\n`);
  const measured = await compare(size, options, (server) => [
    kubeProxy(mode, programs, server, flavour),
    ourProxy(mode, programs, server),
  ]);
  const summary = new Summary(measured, options.limitMs);
  console.log(`\n${summary.table()}\n`);
  return { summary, proxy: measured[1] };
}
