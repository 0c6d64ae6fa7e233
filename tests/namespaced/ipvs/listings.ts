import { run } from "../../integration/support/network_namespace.ts";

/** Sorted output of `ipvsadm -Sn`, which it also reads: one line per virtual and per real server. */
export async function savedServers(): Promise<readonly string[]> {
  return linesOf(await run("ipvsadm", "-Sn")).sort();
}

/** `ipvsadm -Ln --stats` without its header, with one space between columns. */
export async function serverStatistics(): Promise<readonly string[]> {
  return linesOf(await run("ipvsadm", "-Ln", "--stats", "--exact")).slice(3);
}

/** Addresses of kube-ipvs0 as ip lists them: `10.96.0.10/32`. */
export async function deviceAddresses(): Promise<readonly string[]> {
  const lines = await run("ip", "-o", "address", "show", "dev", "kube-ipvs0");
  return [...lines.matchAll(/ inet6? (\S+)/g)].map(([, cidr = ""]) => cidr).sort();
}

function linesOf(text: string): string[] {
  return text.split("\n").map((line) => line.trim().replaceAll(/ +/g, " ")).filter((line) => line !== "");
}
