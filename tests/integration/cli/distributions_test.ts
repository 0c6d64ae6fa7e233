import assert from "node:assert/strict";
import { parse } from "yaml";
import { peers } from "../../lab/cache.ts";
import { missingPeers } from "../support/takeover_lab.ts";
import { configurationFiles } from "./distributions/configuration_files.ts";
import type { Distribution } from "./distributions/distribution.ts";
import { flagLines } from "./distributions/flag_lines.ts";
import { kubeadmFamily } from "./distributions/kubeadm_family.ts";
import { Node } from "./support/node.ts";
import { NodeFiles } from "./support/node_files.ts";
import { RunningProxy } from "./support/running_proxy.ts";

const distributions = [...kubeadmFamily, ...flagLines, ...configurationFiles];

const argsOf = ({ args }: Distribution) => args.map((arg) => arg.replace("NODE", "worker-1"));

type Configuration = Record<string, unknown>;

interface Start {
  /** Warnings about the configuration. */
  readonly warnings: readonly string[];
  readonly configuration: Configuration;
  readonly exitCode: number;
}

/** Starts the proxy as the distribution does, while no API server answers, and stops it. */
async function start(distribution: Distribution): Promise<Start> {
  await using node = await Node.make();
  const files = await NodeFiles.make(node.directory, distribution);
  await using proxy = new RunningProxy(
    node,
    node.spawn([...files.wrapper(), "/proxy", ...argsOf(distribution), "--v=2"]),
  );
  await proxy.logs(/"Serving metrics"/);
  await proxy.logs(/retrying/);
  const address = /"Serving metrics" address="([^"]+)"/.exec(proxy.log)?.[1]?.replace("0.0.0.0", "127.0.0.1");
  const text = await node.namespace.run("curl", "--silent", "--noproxy", "*", `http://${address}/configz`);
  const { code } = await proxy.end();
  const [beforeStart = ""] = proxy.log.split('"Starting proxy"');
  return {
    warnings: [...beforeStart.matchAll(/^W\d{4}.*?\] "(.*)"$/gm)].map(([, message]) => message ?? ""),
    configuration: JSON.parse(text)["kubeproxy.config.k8s.io"],
    exitCode: code,
  };
}

/** Asserts that `actual` has the fields of `expected`, at every depth. */
function assertHas(actual: Configuration, expected: Configuration, path = ""): void {
  for (const [field, value] of Object.entries(expected)) {
    const found = actual[field];
    if (typeof value === "object" && value !== null) {
      assertHas(found as Configuration, value as Configuration, `${path}${field}.`);
    } else {
      assert.deepEqual(found, value, `${path}${field}`);
    }
  }
}

for (const distribution of distributions) {
  // The kernel of this machine may lack IPVS. Mode ipvs is started in virtual machines.
  if (distribution.means["mode"] === "ipvs") continue;
  Deno.test(`the proxy starts as kube-proxy of ${distribution.name}`, async () => {
    const { warnings, configuration, exitCode } = await start(distribution);
    assert.equal(warnings.length, distribution.warnings.length, warnings.join("\n"));
    for (const [index, warning] of distribution.warnings.entries()) {
      assert.match(warnings[index] ?? "", warning);
    }
    assertHas(configuration, distribution.means);
    assert.equal(exitCode, 0);
  });
}

/** Runs one of the two programs with --write-config-to. @returns what it wrote, or its error */
async function written(program: "/proxy" | "/kube-proxy", distribution: Distribution): Promise<string> {
  await using node = await Node.make();
  const files = await NodeFiles.make(node.directory, distribution);
  // kube-proxy completes an address without a port when it runs, but not when it writes its configuration.
  const args = argsOf(distribution).map((arg) => arg.replace(/^(--healthz-bind-address=[^:]*)$/, "$1:10256"));
  const { code, stderr } = await new Deno.Command("ip", {
    args: [
      ...["netns", "exec", node.namespace.name, ...files.wrapper(`${peers}/kube-proxy`)],
      ...[program, ...args, "--write-config-to=/written"],
    ],
  }).output();
  return code === 0 ? await Deno.readTextFile(`${files.root}/written`) : new TextDecoder().decode(stderr);
}

/** Fields with different values, as "field: kube-proxy's value → ours". A field without a value counts as empty. */
function differences(theirs: Configuration, ours: Configuration, path = ""): string[] {
  return [...new Set([...Object.keys(theirs), ...Object.keys(ours)])].sort().flatMap((field) => {
    const [a, b] = [theirs[field], ours[field]];
    if (isMap(b) && (isMap(a) || a === undefined)) return differences(a ?? {}, b, `${path}${field}.`);
    if (JSON.stringify(a) === JSON.stringify(b) || isEmpty(a) && isEmpty(b)) return [];
    return `${path}${field}: ${JSON.stringify(a)} → ${JSON.stringify(b)}`;
  });
}

function isMap(value: unknown): value is Configuration {
  return typeof value === "object" && value !== null && !Array.isArray(value);
}

function isEmpty(value: unknown): boolean {
  return value === undefined || value === null || value === false ||
    Array.isArray(value) && value.length === 0;
}

/** Differences from kube-proxy that docs/operations.md names, under "Configuration". */
const intended = [
  // A blank mode is mode nftables, and node ports then answer on the addresses of the Node.
  'mode: "iptables" → "nftables"',
  'nodePortAddresses: null → ["primary"]',
  // The default of the minimum sync period, in the section of the mode.
  'iptables.minSyncPeriod: "1s" → "0s"',
  'nftables.minSyncPeriod: "1s" → "0s"',
];

/** kube-proxy leaves out the sync period of the sections that its mode does not read. */
const ofOtherModes = /^(iptables|ipvs|nftables)\.(syncPeriod|minSyncPeriod): "0s" → /;

Deno.test({
  name: `the configuration of every distribution is what the real kube-proxy reads${missingPeers}`,
  ignore: missingPeers !== "",
  async fn(t) {
    for (const distribution of distributions) {
      await t.step(distribution.name, async () => {
        const [theirs, ours] = await Promise.all([
          written("/kube-proxy", distribution),
          written("/proxy", distribution),
        ]);
        assert.match(ours, /^apiVersion:/);
        if (distribution.isCurrent === false) {
          assert.match(theirs, /unknown flag|unrecognized feature gate/);
          return;
        }
        const others = differences(parse(theirs), parse(ours)).filter((difference) =>
          !intended.includes(difference) && !ofOtherModes.test(difference)
        );
        assert.deepEqual(others, []);
      });
    }
  },
});
