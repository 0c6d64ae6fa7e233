import type { ProxyMode } from "../../core/backend/contract.ts";
import { NODE } from "./process.ts";

/** One of those that are measured beside each other. */
export interface Contender {
  readonly name: string;
  readonly command: readonly string[];
  readonly env: Readonly<Record<string, string>>;
  /** Between two changes: kube-proxy syncs once a second at most, and that wait is not what is measured. */
  readonly restMs: number;
}

export interface Programs {
  readonly kubeProxy: string;
  readonly proxy: string;
  /** A directory with one folder of programs for each flavour of iptables, and a file for the lock of the legacy one. */
  readonly xtables: string;
}

/** Which tables the iptables programs write: a node has both, and its distribution chose one. */
export type Flavour = "legacy" | "nft";

export function ourProxy(mode: ProxyMode, programs: Programs, server: string): Contender {
  return { name: "proxy", command: [programs.proxy, ...flags(mode, server)], env: {}, restMs: 100 };
}

/** @param flavour of the iptables programs that it finds on its PATH; those of the node if it does not matter. */
export function kubeProxy(mode: ProxyMode, programs: Programs, server: string, flavour?: Flavour): Contender {
  return {
    name: flavour === undefined ? "kube-proxy" : `kube-proxy, iptables-${flavour}`,
    command: [
      programs.kubeProxy,
      ...flags(mode, server),
      ...["--kube-api-content-type=application/json", "--conntrack-max-per-core=0"],
    ],
    env: flavour === undefined ? {} : xtablesEnvironment(programs, flavour),
    restMs: 2500,
  };
}

/** Empties the tables of this network namespace. */
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
    if (!(await child.status).success) throw new Error(`${restore} does not empty the legacy tables`);
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

function xtablesEnvironment({ xtables }: Programs, flavour: Flavour): Record<string, string> {
  return {
    PATH: `${xtables}/${flavour}:${Deno.env.get("PATH") ?? ""}`,
    // The usual one, /run/xtables.lock, is the node's: its iptables would wait for this one.
    XTABLES_LOCKFILE: `${xtables}/lock`,
  };
}
