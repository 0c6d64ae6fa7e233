import type { Lab } from "../../lab/lab.ts";

/** All kernel objects of a mode on the node, each as a string that identifies it. */
export type KernelState = (lab: Lab) => Promise<ReadonlySet<string>>;

export const kernelStates: Readonly<Record<string, KernelState>> = {
  nftables: async (lab) => new Set(await tablesOf(lab, "kube-proxy")),
  iptables,
  ipvs,
  ebpf,
  userspace,
};

/** @throws unless the table exists in both families. */
async function tablesOf(lab: Lab, name: string): Promise<string[]> {
  const tables = await Promise.all(["ip", "ip6"].map(async (family) => {
    const listing: { nftables: Record<string, Listed>[] } = JSON.parse(
      await stdoutOf(lab, ["nft", "-j", "list", "table", family, name]),
    );
    return listing.nftables.filter((object) => !("metainfo" in object)).flatMap(describe);
  }));
  return tables.flat();
}

interface Listed {
  readonly handle?: number;
  readonly size?: number;
  readonly packets?: number;
  readonly bytes?: number;
  readonly elem?: readonly unknown[];
}

/**
 * Describes an object. Each element of a set or map is an object of its own, so that a leftover element is named.
 * Left out are handles, because they are sequence numbers; the counts of named counters; and the size of sets, which
 * the kernel decides when a rule first uses one.
 */
function describe(object: Record<string, Listed>): string[] {
  return Object.entries(object).flatMap(([kind, { handle: _, size: __, elem, ...listed }]) => {
    const { packets: ___, bytes: ____, ...named } = listed;
    const rest = kind === "counter" ? named : listed;
    const elements = elem?.map((element) => `element of ${JSON.stringify(rest)}: ${JSON.stringify(element)}`);
    return [`${kind} ${JSON.stringify(rest)}`, ...elements ?? []];
  });
}

/** Chains and rules as iptables-nft-save lists them. @throws unless both families have them. */
async function iptables(lab: Lab): Promise<ReadonlySet<string>> {
  const families = await Promise.all(["iptables", "ip6tables"].map(async (command) => {
    const stdout = await stdoutOf(lab, [`${command}-nft-save`]);
    if (!stdout.includes("-A KUBE-POSTROUTING")) throw new Error(`${command} lists no KUBE-POSTROUTING`);
    const lines = stdout.split("\n").filter((line) => /^[:-]/.test(line))
      .map((line) => `${command} ${line.replace(/ \[\d+:\d+\]$/, "")}`);
    return [...Map.groupBy(lines, (line) => line)].map(([line, all]) => `${line} (${all.length} times)`);
  }));
  return new Set(families.flat());
}

/** Virtual servers with their real servers, the addresses of the device, and the tables. @throws unless all exist. */
async function ipvs(lab: Lab): Promise<ReadonlySet<string>> {
  const [servers, device, tables] = await Promise.all([
    stdoutOf(lab, ["ipvsadm", "--save", "--numeric"]),
    stdoutOf(lab, ["ip", "-json", "address", "show", "dev", "kube-ipvs0"]),
    tablesOf(lab, "kube-proxy-ipvs"),
  ]);
  const [{ addr_info: addresses }]: [{ addr_info: readonly { local: string; prefixlen: number }[] }] = JSON
    .parse(
      device,
    );
  return new Set([
    ...servers.split("\n").filter((line) => line !== "").map((line) => `ipvsadm ${line}`),
    ...addresses.map(({ local, prefixlen }) => `address ${local}/${prefixlen} of kube-ipvs0`),
    ...tables,
  ]);
}

/**
 * Entries of the maps that hold services and their counters. The maps of clients and connections are left out,
 * because their entries expire on their own.
 */
async function ebpf(lab: Lab): Promise<ReadonlySet<string>> {
  const { bpffs } = lab.ebpfMounts;
  const [generation] = [...Deno.readDirSync(bpffs)].map(({ name }) => `${bpffs}/${name}`);
  // Throws unless this link exists. It is created last, after the maps are filled.
  Deno.lstatSync(`${generation}/links/connect6`);
  const maps = ["services", "source_ranges", "service_cidrs", "counters"];
  const entries = await Promise.all(maps.map(async (map) => {
    const dump = await stdoutOf(lab, ["bpftool", "-j", "map", "dump", "pinned", `${generation}/maps/${map}`]);
    const listing: readonly { formatted: unknown }[] = JSON.parse(dump);
    return listing.map(({ formatted }) => `${map} ${JSON.stringify(formatted)}`);
  }));
  return new Set(entries.flat());
}

/** The tables, without the addresses of node ports, which are those of the node and not of services. */
async function userspace(lab: Lab): Promise<ReadonlySet<string>> {
  const objects = await tablesOf(lab, "kube-proxy-userspace");
  return new Set(objects.filter((object) => !/^element of .*"name":"nodeport-ips"/.test(object)));
}

/** Runs a program on the node. @throws with its standard error if that is not empty or the exit code is not 0. */
async function stdoutOf(lab: Lab, command: readonly string[]): Promise<string> {
  const { code, stdout, stderr } = await lab.run("node", command);
  if (code !== 0 || stderr !== "") throw new Error(stderr);
  return stdout;
}
