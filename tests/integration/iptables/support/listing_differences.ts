/** A line of iptables-save that only one of the two proxies has, and the reason. */
export interface ListingDifference {
  readonly name: string;
  /** Matches the lines: kube-proxy's begin with `- `, ours with `+ `. */
  readonly line: RegExp;
  readonly why: string;
}

export const listingDifferences: readonly ListingDifference[] = [
  {
    name: "a source range within another one of the same service",
    line: /^- nat KUBE-FW-\S+ -s 10\.1\.0\.0\/16 .*"default\/ranges-within-ranges loadbalancer IP"/,
    why: "The rule of the wider range allows these sources as well. Plans omit ranges within other ranges.",
  },
  {
    name: "an external IP that is a load-balancer IP of the same service",
    line: /^- nat KUBE-SERVICES .*"default\/external-and-balanced external IP"/,
    why: "It comes before the rule of the load-balancer IP and accepts clients outside the source ranges.",
  },
];

/**
 * The lines that no expected difference explains.
 * @param used collects the differences that explain a line.
 */
export function explained(lines: readonly string[], used: Set<object>): readonly string[] {
  return lines.filter((line) => {
    const difference = listingDifferences.find((difference) => difference.line.test(line));
    if (difference) used.add(difference);
    return difference === undefined;
  });
}
