import type { BackendTimes } from "./measure.ts";
import type { MeasuredMode } from "../mode.ts";
import {
  atMost,
  bothTargets,
  distribution,
  type Figure,
  median,
  milliseconds,
  percentile,
  type Target,
} from "../report.ts";

/** Performance targets of the backend of a mode, for 10,000 services with 10 endpoints each. */
interface BackendTargets {
  readonly first?: (times: BackendTimes) => Target;
  readonly ratio?: (times: BackendTimes) => Target;
  readonly ratioInKernel?: (times: BackendTimes) => Target;
  readonly change?: (times: BackendTimes) => Target;
  readonly hundredChanges?: (times: BackendTimes) => Target;
}

const backendTargets: Readonly<Record<MeasuredMode, BackendTargets>> = {
  nftables: {
    first: ({ first }) => atMost(first, 1000, "1 s"),
    ratio: ({ first, firstPrepared }) => atMost(first / firstPrepared, 3, "3"),
    change: ({ change }) =>
      bothTargets(
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
      atMost(first, 1.5 * firstPrepared + 1000, "1.5 times the kernel share plus 1 s"),
    change: ({ change, changePrepared }) =>
      atMost(median(change), 1.3 * median(changePrepared), "1.3 times the kernel share, p50"),
    // Most of the time is the validation of all chains, which happens once per transaction.
    hundredChanges: ({ change, hundredChanges }) =>
      atMost(median(hundredChanges), 1.5 * median(change), "1.5 times one change"),
  },
};

export function backendFigures(mode: MeasuredMode, times: BackendTimes): readonly Figure[] {
  const targets = backendTargets[mode];
  const withTarget = (target: ((times: BackendTimes) => Target) | undefined) =>
    target === undefined ? {} : { target: target(times) };
  const { first, firstPrepared, change, changePrepared } = times;
  return [
    { name: "plan everything", value: milliseconds(times.planning) },
    { name: "first programming, median", value: milliseconds(first), ...withTarget(targets.first) },
    { name: "kernel share (same batch, prepared)", value: milliseconds(firstPrepared) },
    { name: "ratio", value: (first / firstPrepared).toFixed(2), ...withTarget(targets.ratio) },
    ...(targets.ratioInKernel === undefined ? [] : kernelTimes(times, targets.ratioInKernel)),
    { name: "batch", value: `${(times.batchBytes / 2 ** 20).toFixed(1)} MiB` },
    { name: "reconcile with no differences", value: milliseconds(times.unchanged) },
    { name: "reconcile after a restart", value: milliseconds(times.restart) },
    { name: "reconcile after all rules were flushed", value: milliseconds(times.repair) },
    {
      name: "one endpoint removed, apply to committed",
      value: distribution(change),
      ...withTarget(targets.change),
    },
    { name: "kernel share (same batch, prepared)", value: distribution(changePrepared) },
    { name: "ratio of the medians", value: (median(change) / median(changePrepared)).toFixed(2) },
    { name: "a service added", value: distribution(times.serviceAdded) },
    { name: "a service removed", value: distribution(times.serviceRemoved) },
    {
      name: "100 endpoints removed in one transaction, median",
      value: milliseconds(median(times.hundredChanges)),
      ...withTarget(targets.hundredChanges),
    },
  ];
}

function kernelTimes(times: BackendTimes, target: (times: BackendTimes) => Target): readonly Figure[] {
  const { firstInKernel, firstPreparedInKernel } = times;
  return [
    { name: "first programming, time in the kernel", value: milliseconds(firstInKernel) },
    { name: "prepared, time in the kernel", value: milliseconds(firstPreparedInKernel) },
    { name: "ratio", value: (firstInKernel / firstPreparedInKernel).toFixed(2), target: target(times) },
  ];
}
