import { readSysctl } from "../../../ffi/system/sysctl.ts";

/** Limits of the ICMP errors that the programs send: those of the kernel's own. */
export interface IcmpLimits {
  /** Interval of errors to one source after the first few; 0 without a limit. */
  readonly intervalMs: number;
  readonly intervalMsIPv6: number;
  /** Limits for all sources together. */
  readonly perSecond: number;
  readonly burst: number;
}

/** ICMP_DEST_UNREACH, linux/icmp.h */
const DESTINATION_UNREACHABLE = 3;
/** ICMPV6_DEST_UNREACH, linux/icmpv6.h */
const DESTINATION_UNREACHABLE_IPV6 = 1;

/**
 * Reads the limits of this network namespace. Older kernels have those for all sources in the initial one only, so the
 * kernel's defaults (net/ipv4/icmp.c) replace what cannot be read.
 * @param sysctls directory, for tests.
 */
export function readIcmpLimits(sysctls?: string): IcmpLimits {
  const read = (name: string, otherwise: string) => readSysctl(name, sysctls) ?? otherwise;
  const isLimited = (Number(read("net.ipv4.icmp_ratemask", "6168")) >> DESTINATION_UNREACHABLE & 1) === 1;
  const isLimitedIPv6 = includesNumber(
    read("net.ipv6.icmp.ratemask", "0-1,3-127"),
    DESTINATION_UNREACHABLE_IPV6,
  );
  return {
    intervalMs: isLimited ? Number(read("net.ipv4.icmp_ratelimit", "1000")) : 0,
    intervalMsIPv6: isLimitedIPv6 ? Number(read("net.ipv6.icmp.ratelimit", "1000")) : 0,
    perSecond: Number(read("net.ipv4.icmp_msgs_per_sec", "1000")),
    burst: Number(read("net.ipv4.icmp_msgs_burst", "50")),
  };
}

/** @param list numbers and ranges, such as "0-1,3-127". */
function includesNumber(list: string, number: number): boolean {
  return list.split(",").some((range) => {
    const [first, last = first] = range.split("-").map(Number);
    return first !== undefined && last !== undefined && first <= number && number <= last;
  });
}
