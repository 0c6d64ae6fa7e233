import type { BackendTimes } from "./backend.ts";
import type { MeasuredMode } from "./mode.ts";
import {
  atMost,
  type Bar,
  bothBars,
  distribution,
  type Figure,
  median,
  milliseconds,
  percentile,
} from "./report.ts";

/** What a mode promises of its backend, at 10,000 services of 10 endpoints. */
interface Bars {
  readonly first?: (times: BackendTimes) => Bar;
  readonly ratio?: (times: BackendTimes) => Bar;
  readonly ratioInKernel?: (times: BackendTimes) => Bar;
  readonly change?: (times: BackendTimes) => Bar;
  readonly hundredChanges?: (times: BackendTimes) => Bar;
}

const barsOf: Readonly<Record<MeasuredMode, Bars>> = {
  nftables: {
    first: ({ first }) => atMost(first, 1000, "1 s"),
    ratio: ({ first, firstPrepared }) => atMost(first / firstPrepared, 3, "3"),
    change: ({ change }) =>
      bothBars(
        atMost(percentile(change, 0.5), 2, "2 ms p50"),
        atMost(percentile(change, 0.99), 10, "10 ms p99"),
      ),
  },
  ipvs: {
    ratioInKernel: ({ firstInKernel, firstPreparedInKernel }) =>
      atMost(firstInKernel / firstPreparedInKernel, 1.5, "1.5"),
  },
  iptables: {
    first: ({ first, firstPrepared }) =>
      atMost(first, 1.5 * firstPrepared + 1000, "1.5 times the kernel's part and 1 s"),
    change: ({ change, changePrepared }) =>
      atMost(median(change), 1.3 * median(changePrepared), "1.3 times the kernel's part, p50"),
    // The validation of all chains is what costs, and it is done once for each transaction.
    hundredChanges: ({ change, hundredChanges }) =>
      atMost(median(hundredChanges), 1.5 * median(change), "1.5 times one change"),
  },
};

export function backendFigures(mode: MeasuredMode, times: BackendTimes): readonly Figure[] {
  const bars = barsOf[mode];
  const barred = (bar: ((times: BackendTimes) => Bar) | undefined) =>
    bar === undefined ? {} : { bar: bar(times) };
  const { first, firstPrepared, change, changePrepared } = times;
  return [
    { what: "plan everything", value: milliseconds(times.planning) },
    { what: "first programming, median", value: milliseconds(first), ...barred(bars.first) },
    { what: "the kernel's part, same batch prepared", value: milliseconds(firstPrepared) },
    { what: "ratio", value: (first / firstPrepared).toFixed(2), ...barred(bars.ratio) },
    ...(bars.ratioInKernel === undefined ? [] : kernelTimes(times, bars.ratioInKernel)),
    { what: "batch", value: `${(times.batchBytes / 2 ** 20).toFixed(1)} MiB` },
    { what: "reconcile with nothing to do", value: milliseconds(times.unchanged) },
    { what: "reconcile after a restart", value: milliseconds(times.restart) },
    { what: "reconcile after all rules were flushed", value: milliseconds(times.repair) },
    {
      what: "one endpoint removed, apply to committed",
      value: distribution(change),
      ...barred(bars.change),
    },
    { what: "the kernel's part, same batch prepared", value: distribution(changePrepared) },
    { what: "ratio of the medians", value: (median(change) / median(changePrepared)).toFixed(2) },
    { what: "a service added", value: distribution(times.serviceAdded) },
    { what: "a service removed", value: distribution(times.serviceRemoved) },
    {
      what: "100 endpoints removed in one transaction, median",
      value: milliseconds(median(times.hundredChanges)),
      ...barred(bars.hundredChanges),
    },
  ];
}

function kernelTimes(times: BackendTimes, bar: (times: BackendTimes) => Bar): readonly Figure[] {
  const { firstInKernel, firstPreparedInKernel } = times;
  return [
    { what: "first programming, of it in the kernel", value: milliseconds(firstInKernel) },
    { what: "of the prepared one in the kernel", value: milliseconds(firstPreparedInKernel) },
    { what: "ratio", value: (firstInKernel / firstPreparedInKernel).toFixed(2), bar: bar(times) },
  ];
}
