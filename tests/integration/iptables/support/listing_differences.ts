/** A line of iptables-save that only one of the two proxies has, and why that is left so. */
export interface ListingDifference {
  readonly name: string;
  /** The lines: upstream's begin with `- `, ours with `+ `. */
  readonly line: RegExp;
  readonly why: string;
}

export const listingDifferences: readonly ListingDifference[] = [
  {
    name: "a source range within another one of the same service",
    line: /^- nat KUBE-FW-\S+ -s 10\.1\.0\.0\/16 .*"default\/ranges-within-ranges loadbalancer IP"/,
    why:
      "The rule of the wider range admits these sources, too; every plan leaves out what another range contains.",
  },
  {
    name: "an external IP that is a load balancer's address of the same service",
    line: /^- nat KUBE-SERVICES .*"default\/external-and-balanced external IP"/,
    why:
      "It comes before the rule of the load balancer's address, and lets in whom the source ranges do not.",
  },
];

/**
 * The lines that no difference explains.
 * @param seen gets those that explain one
 */
export function argued(lines: readonly string[], seen: Set<object>): readonly string[] {
  return lines.filter((line) => {
    const difference = listingDifferences.find((difference) => difference.line.test(line));
    if (difference) seen.add(difference);
    return difference === undefined;
  });
}
