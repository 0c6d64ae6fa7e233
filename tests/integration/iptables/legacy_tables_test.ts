import assert from "node:assert/strict";
import type { LegacyTable } from "../../../backends/x_tables/tables.ts";
import { NetworkNamespace } from "../support/network_namespace.ts";

const PROGRAM = new URL("./support/print_legacy_tables.ts", import.meta.url).pathname;

/** The legacy tables by name, because their order is up to the kernel. */
async function tables(
  namespace: NetworkNamespace,
  ...wrapper: readonly string[]
): Promise<Readonly<Record<string, Pick<LegacyTable, "rules" | "kubeChains">>>> {
  const text = await namespace.run(...wrapper, Deno.execPath(), "run", "--allow-all", "--quiet", PROGRAM);
  const read: readonly LegacyTable[] = JSON.parse(text);
  return Object.fromEntries(
    read.map(({ family, table, rules, kubeChains }) => [`${family} ${table}`, { rules, kubeChains }]),
  );
}

Deno.test("the contents of the legacy iptables tables are found, and reading makes no table", async () => {
  await using namespace = await NetworkNamespace.make();
  const names = () => namespace.run("cat", "/proc/net/ip_tables_names", "/proc/net/ip6_tables_names");
  const none = { rules: 0, kubeChains: [] };
  assert.deepEqual(await tables(namespace), {});
  assert.equal(await names(), "");

  await namespace.run("iptables-legacy", "--table", "nat", "--list");
  assert.deepEqual(await tables(namespace), { "IPv4 nat": none }, "a table that was listed");

  const nat = ["iptables-legacy", "--table", "nat"];
  const service = "KUBE-SVC-XPGD46QRK7WJZT7O";
  for (const chain of ["KUBE-SERVICES", service, "OTHER"]) await namespace.run(...nat, "--new", chain);
  await namespace.run(...nat, "--append", "PREROUTING", "--jump", "KUBE-SERVICES");
  await namespace.run(...nat, "--append", "KUBE-SERVICES", "--protocol", "tcp", "--jump", service);
  const match = ["--source", "fd00::/64", "--match", "comment", "--comment", "other"];
  await namespace.run("ip6tables-legacy", "--append", "FORWARD", ...match, "--jump", "DROP");
  await namespace.run("ip6tables-legacy", "--table", "mangle", "--new", "KUBE-IPTABLES-HINT");
  const expected = {
    "IPv4 nat": { rules: 2, kubeChains: ["KUBE-SERVICES", service] },
    "IPv6 filter": { rules: 1, kubeChains: [] },
    "IPv6 mangle": { rules: 0, kubeChains: ["KUBE-IPTABLES-HINT"] },
  };
  assert.deepEqual(await tables(namespace), expected);
  const withoutRaw = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
  assert.deepEqual(await tables(namespace, ...withoutRaw), expected, "CAP_NET_ADMIN is enough");
  const withoutAdmin = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];
  assert.deepEqual(await tables(namespace, ...withoutAdmin), {});

  await namespace.run(...nat, "--flush");
  await namespace.run(...nat, "--delete-chain");
  assert.deepEqual((await tables(namespace))["IPv4 nat"], none);
  assert.deepEqual((await names()).trim().split("\n").sort(), ["filter", "mangle", "nat"]);
});
