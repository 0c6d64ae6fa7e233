import type { BackendError } from "../../core/backend/contract.ts";
import { errnoOf } from "../../ffi/errno.ts";
import type { KernelError } from "../../ffi/errors.ts";
import { backendError } from "../backend_errors.ts";
import type { RejectedAddress } from "./device/dummy_device.ts";
import type { RejectedCommand } from "./protocol/connection.ts";
import { virtualServerKey } from "./servers/virtual_server.ts";
import type { FamilyChange } from "./update.ts";

/** @throws BackendError that names the service ports of the rejected commands, if there are any. */
export function throwIfCommandsRejected(
  rejected: readonly RejectedCommand[],
  changes: readonly FamilyChange[],
): void {
  const [first] = rejected;
  if (first === undefined) return;
  const servers = new Set(rejected.map(({ command }) => virtualServerKey(command.server)));
  throw rejectionOf(
    first.error,
    changes,
    (change) => change.new?.servers.some((server) => servers.has(virtualServerKey(server))) ?? false,
  );
}

/** @throws BackendError that names the service ports of the rejected addresses, if there are any. */
export function throwIfAddressesRejected(
  rejected: readonly RejectedAddress[],
  changes: readonly FamilyChange[],
): void {
  const [first] = rejected;
  if (first === undefined) return;
  const addresses = new Set(rejected.map(({ address }) => address));
  // A missing device concerns no particular address.
  const isDeviceMissing = first.error.errno === errnoOf("ENODEV");
  throw rejectionOf(
    first.error,
    changes,
    (change) =>
      !isDeviceMissing && (change.new?.addresses.some((address) => addresses.has(address)) ?? false),
  );
}

function rejectionOf(
  error: KernelError,
  changes: readonly FamilyChange[],
  isRejected: (change: FamilyChange) => boolean,
): BackendError {
  return backendError("ipvs", error, [...new Set(changes.filter(isRejected).map(({ key }) => key))]);
}
