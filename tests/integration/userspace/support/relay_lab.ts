import assert from "node:assert/strict";
import { Relay } from "../../../../backends/userspace/relay.ts";
import {
  DEFAULT_RELAY_SETTINGS,
  type RelayedProtocol,
  type RelayedService,
  type RelayReport,
  type RelaySettings,
  type ServiceCounters,
} from "../../../../backends/userspace/relay/messages.ts";
import type { Family } from "../../../../core/net/protocol.ts";
import { run } from "../../support/network_namespace.ts";

/** Options of tests with a relay: libraries stay open for the life of the process, and time limits may still run. */
export const keepsLibraries = { sanitizeResources: false, sanitizeOps: false } as const;

/** The relay in this network namespace, where every address of the ranges below is local. */
export class RelayLab implements AsyncDisposable {
  readonly warnings: string[] = [];
  readonly #relay: Relay;

  /** Sets up the addresses, and leads connections to service addresses to the relay, as the mode's table does. */
  static async start(settings: Partial<RelaySettings> = {}): Promise<RelayLab> {
    // The next process after another one finds them.
    if (settings.inherited === undefined) await setUpAddresses();
    const warnings: string[] = [];
    const sharedListeners = (["IPv4", "IPv6"] as const).flatMap((family) =>
      (["TCP", "UDP"] as const).map((protocol) => ({ family, protocol, side: "inside" as const, port: 0 }))
    );
    const relay = await Relay.start({ ...DEFAULT_RELAY_SETTINGS, sharedListeners, ...settings }, {
      warn: (message) => warnings.push(message),
      failed: (error) => warnings.push(error.message),
    });
    const lab = new RelayLab(relay, warnings);
    for (const { family, protocol, port } of relay.listeners) await redirect(family, protocol, port);
    // Flows of an earlier test lead to its listeners.
    await run("conntrack", "-F");
    return lab;
  }

  private constructor(relay: Relay, warnings: string[]) {
    this.#relay = relay;
    this.warnings = warnings;
  }

  get relay(): Relay {
    return this.#relay;
  }

  async replace(...services: readonly RelayedService[]): Promise<void> {
    await this.#relay.replace(services);
  }

  report(): Promise<RelayReport> {
    return this.#relay.report();
  }

  /** Counters of the only service. */
  async counters(): Promise<ServiceCounters> {
    const { services: [counters, ...others] } = await this.report();
    assert(counters !== undefined && others.length === 0);
    return counters;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.#relay.drain(0);
  }
}

/** Ranges of endpoints, services and the node's own address. */
const NODE = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" } as const;

/** Adds the addresses to this network namespace. */
export async function setUpAddresses(): Promise<void> {
  await run("ip", "link", "set", "lo", "up");
  await run("ip", "address", "replace", `${NODE.IPv4}/32`, "dev", "lo");
  await run("ip", "address", "replace", `${NODE.IPv6}/128`, "dev", "lo", "nodad");
  for (const range of ["10.1.0.0/16", "fd00:1::/64"]) {
    await run("ip", "route", "replace", "local", range, "dev", "lo");
  }
  // A local route is not enough to listen on an address of IPv6.
  await run("sysctl", "-qw", "net.ipv6.ip_nonlocal_bind=1");
  for (const [range, source] of [["10.96.0.0/16", NODE.IPv4], ["fd00:96::/64", NODE.IPv6]] as const) {
    await run("ip", "route", "replace", range, "dev", "lo", "src", source);
  }
}

async function redirect(family: Family, protocol: RelayedProtocol, port: number): Promise<void> {
  const [ip, range, node] = family === "IPv4"
    ? ["ip", "10.96.0.0/16", NODE.IPv4]
    : ["ip6", "fd00:96::/64", `[${NODE.IPv6}]`];
  const table = `relay-${protocol}-${family}`.toLowerCase();
  // Replaces the table of an earlier test.
  await nft(`table ${ip} ${table}
  delete table ${ip} ${table}
  table ${ip} ${table} {
    chain output {
      type nat hook output priority -100;
      meta l4proto ${protocol.toLowerCase()} ${ip} daddr ${range} dnat to ${node}:${port}
    }
  }`);
}

/** Runs commands of `nft -f`. */
async function nft(commands: string): Promise<void> {
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, commands);
    await run("nft", "-f", file);
  } finally {
    await Deno.remove(file);
  }
}

/** Drops what is sent to some addresses, as a node does that died without notice. */
export async function dropPacketsTo(...addresses: readonly string[]): Promise<AsyncDisposable> {
  const set = addresses.join(", ");
  await nft(`table ip dead {
    chain input {
      type filter hook input priority 0;
      ip daddr { ${set} } drop
    }
  }`);
  return { [Symbol.asyncDispose]: () => nft("delete table ip dead") };
}
