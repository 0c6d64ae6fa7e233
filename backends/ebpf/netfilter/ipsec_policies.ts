import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_XFRM } from "../../../ffi/netlink/constants.ts";
import {
  decodePolicy,
  writeDumpPolicies,
  XFRM_POLICY_FWD,
  XFRM_POLICY_OUT,
  type XfrmPolicy,
} from "../../../ffi/netlink/xfrm.ts";

/**
 * Reports whether this network namespace has policies of IPsec that only the stack applies to packets that it
 * forwards. Those of a device (xfrm) are applied by that device.
 * @throws KernelError if there may be policies that could not be read.
 */
export async function hasIpsecPolicies(): Promise<boolean> {
  try {
    using client = NetlinkClient.open(NETLINK_XFRM);
    const policies = await client.dump("list policies of IPsec", writeDumpPolicies);
    return policies.some(({ payload }) => concernsForwarded(decodePolicy(payload)));
  } catch (error) {
    // The kernel has no IPsec.
    if (error instanceof KernelError && error.errnoName === "EPROTONOSUPPORT") return false;
    throw error;
  }
}

/** A policy that neither blocks nor transforms lets packets pass as they are. */
function concernsForwarded({ direction, blocks, transforms, interfaceId }: XfrmPolicy): boolean {
  return (direction === XFRM_POLICY_OUT || direction === XFRM_POLICY_FWD) && (blocks || transforms) &&
    interfaceId === 0;
}
