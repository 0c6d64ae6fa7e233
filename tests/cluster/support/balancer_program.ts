/**
 * Balancer in front of a Service with externalTrafficPolicy Local, which balancer.ts runs outside of the cluster until
 * its standard input ends. It asks the health-check node port of every node, as load balancers do, and translates new
 * connections to a node that answered 200. Established connections stay with their node.
 *
 *   balancer_program.ts OPTIONS      a BalancerOptions as JSON
 *
 * It prints one JSON array per change: the addresses of the nodes that are healthy.
 */
import type { BalancerOptions } from "./balancer.ts";

const options: BalancerOptions = JSON.parse(Deno.args[0] ?? "{}");
const ASK_EVERY_MS = 500;
const ANSWER_LIMIT_MS = 1000;

let isStopped = false;
const asking = ask();
for await (const _ of Deno.stdin.readable);
isStopped = true;
await asking;
await nft("delete table inet balancer");
Deno.exit(0);

async function ask(): Promise<void> {
  let before = "";
  while (!isStopped) {
    const healthy = (await Promise.all(options.nodes.map(isHealthy))).flat();
    const now = JSON.stringify(healthy);
    if (now !== before) {
      await nft(rules(healthy));
      console.log(now);
    }
    before = now;
    await new Promise((resolve) => setTimeout(resolve, ASK_EVERY_MS));
  }
}

/** Returns the address if the node is healthy. */
async function isHealthy(address: string): Promise<readonly string[]> {
  const host = address.includes(":") ? `[${address}]` : address;
  try {
    const answer = await fetch(`http://${host}:${options.healthPort}/`, {
      signal: AbortSignal.timeout(ANSWER_LIMIT_MS),
    });
    await answer.body?.cancel();
    return answer.status === 200 ? [address] : [];
  } catch {
    return [];
  }
}

function rules(healthy: readonly string[]): string {
  const ofFamily = (address: string) =>
    healthy.filter((node) => node.includes(":") === address.includes(":"));
  return `
    add table inet balancer
    add chain inet balancer output { type nat hook output priority -100; }
    flush chain inet balancer output
    ${options.addresses.map((address) => rule(address, ofFamily(address))).join("\n")}
  `;
}

function rule(address: string, nodes: readonly string[]): string {
  const family = address.includes(":") ? "ip6" : "ip";
  const match = `add rule inet balancer output ${family} daddr ${address} tcp dport 80`;
  if (nodes.length === 0) return `${match} drop`;
  const targets = nodes.map((node, index) => `${index} : ${node} . ${options.nodePort}`).join(", ");
  return `${match} dnat ${family} to numgen random mod ${nodes.length} map { ${targets} }`;
}

async function nft(commands: string): Promise<void> {
  const child = new Deno.Command("nft", { args: ["-f", "-"], stdin: "piped" }).spawn();
  const writer = child.stdin.getWriter();
  await writer.write(new TextEncoder().encode(commands));
  await writer.close();
  if (!(await child.status).success) throw new Error(`nft refused: ${commands}`);
}
