import { IPSET_NAME_LENGTH } from "./constants.ts";

/** Upstream's sets of IPv4 in mode ipvs: docs/behaviour.md §5.3. */
const names: readonly string[] = [
  "KUBE-LOOP-BACK",
  "KUBE-CLUSTER-IP",
  "KUBE-EXTERNAL-IP",
  "KUBE-EXTERNAL-IP-LOCAL",
  "KUBE-LOAD-BALANCER",
  "KUBE-LOAD-BALANCER-LOCAL",
  "KUBE-LOAD-BALANCER-FW",
  "KUBE-LOAD-BALANCER-SOURCE-CIDR",
  "KUBE-LOAD-BALANCER-SOURCE-IP",
  "KUBE-NODE-PORT-TCP",
  "KUBE-NODE-PORT-UDP",
  "KUBE-NODE-PORT-SCTP-HASH",
  "KUBE-NODE-PORT-LOCAL-TCP",
  "KUBE-NODE-PORT-LOCAL-UDP",
  "KUBE-NODE-PORT-LOCAL-SCTP-HASH",
  "KUBE-HEALTH-CHECK-NODE-PORT",
  "KUBE-IPVS-IPS",
];

/** Those of IPv6 are named after them, as far as there is room. */
export const upstreamSets: ReadonlySet<string> = new Set(
  names.flatMap((name) => [name, name.replace("KUBE-", "KUBE-6-").slice(0, IPSET_NAME_LENGTH)]),
);
