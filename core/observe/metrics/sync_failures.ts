import type { ProxyMode } from "../../backend/contract.ts";
import type { Family } from "../../net/protocol.ts";
import { Counter, type Metric } from "./exposition.ts";
import { alpha } from "./names.ts";

interface Failures {
  readonly name: string;
  readonly help: string;
  /** Of which syncs. */
  readonly of: "all" | "partial" | "none";
}

/** Upstream has names of their own for each mode (docs/behaviour.md §8). */
const failuresOf: Readonly<Partial<Record<ProxyMode, readonly Failures[]>>> = {
  nftables: [
    {
      name: "sync_proxy_rules_nftables_sync_failures_total",
      help: "Cumulative proxy nftables sync failures",
      of: "all",
    },
    // What is stale goes with the transaction that makes it stale, so there is no cleanup that could fail alone.
    {
      name: "sync_proxy_rules_nftables_cleanup_failures_total",
      help: "Cumulative proxy nftables cleanup failures",
      of: "none",
    },
  ],
  iptables: [
    {
      name: "sync_proxy_rules_iptables_restore_failures_total",
      help: "Cumulative proxy iptables restore failures",
      of: "all",
    },
    {
      name: "sync_proxy_rules_iptables_partial_restore_failures_total",
      help: "Cumulative proxy iptables partial restore failures",
      of: "partial",
    },
  ],
};

/** Syncs that failed. Every sample is there from the start, so that a rate sees the first failure. */
export class SyncFailures implements Metric {
  readonly #counters: readonly { readonly of: Failures["of"]; readonly counter: Counter }[];

  constructor(mode: ProxyMode, families: readonly Family[]) {
    this.#counters = (failuresOf[mode] ?? []).map(({ name, help, of }) => {
      const counter = new Counter(alpha(name, help, "ip_family"));
      for (const family of families) counter.increment(0, family);
      return { of, counter };
    });
  }

  /** @param full of everything, not only of what changed. */
  count(family: Family, full: boolean): void {
    for (const { of, counter } of this.#counters) {
      if (of === "all" || of === "partial" && !full) counter.increment(1, family);
    }
  }

  text(): string {
    return this.#counters.map(({ counter }) => counter.text()).join("");
  }
}
