import { type Address, parseAddress } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { IpvsConnection } from "../protocol/connection.ts";
import { loadModule } from "../protocol/modules.ts";
import type { VirtualServer } from "./virtual_server.ts";

/** Those of Linux 6.12; a kernel may have more or fewer. */
const known = "rr, wrr, lc, wlc, lblc, lblcr, dh, sh, mh, sed, nq, fo, ovf, twos";

/** Whether new connections go past real servers without weight. dh refuses those that its hash sends to one. */
export function skipsResting(scheduler: string): boolean {
  return scheduler !== "dh";
}

/** Addresses of documentation (RFC 5737, RFC 3849), upstream's for IPv4: no service has them. */
const probeAddresses: Readonly<Record<Family, Address>> = {
  IPv4: addressOf("198.51.100.0"),
  IPv6: addressOf("2001:db8::"),
};
const PROBE_PORT = 20000;

/**
 * Finds out whether IPVS works in a family with a scheduler, by adding a virtual server and removing it
 * (docs/behaviour.md §5.3). The kernel loads the scheduler's module for it; where it cannot, we try.
 * @throws KernelError that says what to do.
 */
export async function tryScheduler(
  connection: IpvsConnection,
  scheduler: string,
  family: Family = "IPv4",
): Promise<void> {
  const server: VirtualServer = {
    family,
    protocol: "TCP",
    address: probeAddresses[family],
    port: PROBE_PORT,
    scheduler,
    persistenceSeconds: 0,
    flags: 0,
  };
  let refused = await addAndRemove(connection, server);
  if (refused?.errno !== errnoOf("ENOENT")) {
    if (refused !== undefined) throw refused;
    return;
  }
  const problem = loadModule(`ip_vs_${scheduler}`);
  refused = await addAndRemove(connection, server);
  if (refused === undefined) return;
  throw new KernelError(
    `use the scheduler ${scheduler} of IPVS (IPv${server.address.length === 4 ? 4 : 6})`,
    refused.errno,
    {
      extack: `its module ip_vs_${scheduler} is not there${
        problem === undefined ? "" : `, and cannot be loaded ${problem}`
      }`,
      advice: `Load it on the node: modprobe ip_vs_${scheduler}. Schedulers of IPVS are ${known}`,
      cause: refused,
    },
  );
}

/** @returns what the kernel said against adding it. */
async function addAndRemove(
  connection: IpvsConnection,
  server: VirtualServer,
): Promise<KernelError | undefined> {
  // One that is there is what a probe that was ended left.
  const refused = await connection.perform([
    { verb: "remove", server },
    { verb: "add", server },
    { verb: "remove", server },
  ]);
  return refused.find(({ command }) => command.verb === "add")?.error;
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`${text} is no address`);
  return address;
}
