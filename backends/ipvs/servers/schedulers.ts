import { type Address, parseAddress } from "../../../core/net/address.ts";
import type { Family } from "../../../core/net/protocol.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import type { IpvsConnection } from "../protocol/connection.ts";
import { KNOWN_SCHEDULERS } from "../flags.ts";
import { loadModule } from "../protocol/modules.ts";
import type { VirtualServer } from "./virtual_server.ts";

/**
 * Reports whether the scheduler never picks a real server of weight 0. IPVS rejects a connection for which dh
 * picks one.
 */
export function skipsWeightZero(scheduler: string): boolean {
  return scheduler !== "dh";
}

/** Documentation addresses (RFC 5737, RFC 3849), which no service has. The IPv4 one is kube-proxy's. */
const PROBE_ADDRESSES: Readonly<Record<Family, Address>> = {
  IPv4: addressOf("198.51.100.0"),
  IPv6: addressOf("2001:db8::"),
};
const PROBE_PORT = 20000;

/**
 * Finds out whether IPVS works in a family with a scheduler, by adding and removing a virtual server
 * (docs/behaviour.md §5.3). The kernel loads the scheduler's module on demand. If it cannot, this process
 * tries.
 * @throws KernelError with advice.
 */
export async function tryScheduler(
  connection: IpvsConnection,
  scheduler: string,
  family: Family = "IPv4",
): Promise<void> {
  const server: VirtualServer = {
    family,
    protocol: "TCP",
    address: PROBE_ADDRESSES[family],
    port: PROBE_PORT,
    scheduler,
    persistenceSeconds: 0,
    flags: 0,
  };
  let error = await addAndRemove(connection, server);
  if (error === undefined) return;
  if (error.errno !== errnoOf("ENOENT")) throw error;
  const module = `ip_vs_${scheduler}`;
  const problem = loadModule(module);
  error = await addAndRemove(connection, server);
  if (error === undefined) return;
  throw new KernelError(`use the scheduler ${scheduler} of IPVS (${family})`, error.errno, {
    extack: `its module ${module} is missing${
      problem === undefined ? "" : ` and could not be loaded ${problem}`
    }`,
    advice: `Schedulers of IPVS are ${KNOWN_SCHEDULERS.join(", ")}`,
    fix: `modprobe ${module}`,
    cause: error,
  });
}

/** @returns the error of adding the virtual server. */
async function addAndRemove(
  connection: IpvsConnection,
  server: VirtualServer,
): Promise<KernelError | undefined> {
  const rejected = await connection.perform([
    // An interrupted probe may have left it.
    { verb: "remove", server },
    { verb: "add", server },
    { verb: "remove", server },
  ]);
  return rejected.find(({ command }) => command.verb === "add")?.error;
}

function addressOf(text: string): Address {
  const address = parseAddress(text);
  if (address === undefined) throw new TypeError(`${text} is not an address`);
  return address;
}
