import type { ProxyMode } from "../../../backends/registry.ts";
import { NODE } from "../process/measure.ts";

/** One of the programs that are compared. */
export interface Subject {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Pause before each change: kube-proxy syncs at most once per second, and that wait should not be measured. */
  readonly changeIntervalMs: number;
}

export interface Programs {
  readonly kubeProxy: string;
  readonly proxy: string;
  /** Directory with one folder of programs per flavour of iptables, and the lock file of iptables-legacy. */
  readonly xtables: string;
}

/** Flavour of the iptables programs: "legacy" writes the tables of x_tables, "nft" those of nf_tables. */
export type IptablesFlavour = "legacy" | "nft";

export function ourProxy(mode: ProxyMode, programs: Programs, server: string): Subject {
  return { name: "proxy", command: [programs.proxy, ...flags(mode, server)], env: {}, changeIntervalMs: 100 };
}

/** @param flavour the iptables programs in the PATH of kube-proxy; the default is those of the node. */
export function kubeProxy(
  mode: ProxyMode,
  programs: Programs,
  server: string,
  flavour?: IptablesFlavour,
): Subject {
  return {
    name: flavour === undefined ? "kube-proxy" : `kube-proxy, iptables-${flavour}`,
    command: [
      programs.kubeProxy,
      ...flags(mode, server),
      ...["--kube-api-content-type=application/json", "--conntrack-max-per-core=0"],
    ],
    env: flavour === undefined ? {} : xtablesEnvironment(programs, flavour),
    changeIntervalMs: 2500,
  };
}

/** Flushes all tables of this network namespace. */
export async function flushTables(programs: Programs): Promise<void> {
  await new Deno.Command("nft", { args: ["flush", "ruleset"] }).output();
  for (const restore of ["iptables-restore", "ip6tables-restore"]) {
    const child = new Deno.Command(`${programs.xtables}/legacy/${restore}`, {
      env: xtablesEnvironment(programs, "legacy"),
      stdin: "piped",
    }).spawn();
    const stdin = child.stdin.getWriter();
    await stdin.write(new TextEncoder().encode("*nat\nCOMMIT\n*mangle\nCOMMIT\n*filter\nCOMMIT\n"));
    await stdin.close();
    if (!(await child.status).success) throw new Error(`${restore} cannot flush the legacy tables`);
  }
}

function flags(mode: ProxyMode, server: string): readonly string[] {
  return [
    `--master=${server}`,
    `--hostname-override=${NODE}`,
    `--proxy-mode=${mode}`,
    "--cluster-cidr=10.128.0.0/9",
  ];
}

function xtablesEnvironment({ xtables }: Programs, flavour: IptablesFlavour): Record<string, string> {
  return {
    PATH: `${xtables}/${flavour}:${Deno.env.get("PATH") ?? ""}`,
    // /run/xtables.lock is not used, because iptables on the host would wait for the benchmark.
    XTABLES_LOCKFILE: `${xtables}/lock`,
  };
}
