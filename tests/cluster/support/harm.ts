import assert from "node:assert/strict";
import type { FlowReport } from "./flows.ts";
import { describeReport, type Failure, type TrafficReport, UDP_SILENCE_MS } from "./traffic.ts";
import type { Move } from "./udp_moves.ts";

/** Facts that excuse some harm, with the reasons. */
export interface Circumstances {
  /** Pods that ended. A held connection ends with its pod, once. */
  readonly ended: ReadonlySet<string>;
  /**
   * Times at which pods stopped serving according to their EndpointSlices, in ms since the epoch. Datagrams of a client
   * that keeps its source port go to the same pod until then, also if it has ended and kubelet has not yet reported it.
   */
  readonly stops: ReadonlyMap<string, readonly number[]>;
  readonly moves: readonly Move[];
  /**
   * Time in which a node was down and the control plane did not know it. Its pods are endpoints until then, and new
   * connections to them are lost.
   */
  readonly outage?: Outage;
}

export interface Outage {
  readonly from: number;
  readonly to: number;
}

/**
 * Fails unless no connection failed and none was lost, except for these circumstances, and UDP was not silent for
 * longer than the bound, except before the EndpointSlices said that its pod had ended.
 */
export function assertUnharmedExcept(circumstances: Circumstances, report: TrafficReport): void {
  const problems = [...report.flows].flatMap(([name, flow]) => {
    const failures = report.failures.filter((failure) => failure.flow === name);
    const harm = flow.kind === "udp"
      ? harmOfDatagrams(name, flow, circumstances)
      : harmOfConnections(flow, failures, circumstances);
    return harm.map((problem) => `${name}: ${problem}`);
  });
  assert.deepEqual(problems.slice(0, 20), [], `${problems.length} problems\n${describeReport(report)}`);
}

function harmOfConnections(
  { kind, answeredBy }: FlowReport,
  failures: readonly Failure[],
  { ended, outage }: Circumstances,
): readonly string[] {
  const lost = Object.keys(answeredBy).filter((pod) => ended.has(pod)).length;
  // An outage does not excuse a held connection to a pod elsewhere.
  const isExcused = ({ at }: Failure) =>
    outage !== undefined && outage.from <= at && at <= outage.to && !(kind === "held" && lost === 0);
  const unexcused = failures.filter((failure) => !isExcused(failure));
  const allowed = kind === "held" ? lost : 0;
  if (unexcused.length <= allowed) return [];
  return unexcused.map(({ during, reason }) => `${during}: ${reason} (${lost} of its pods ended)`);
}

function harmOfDatagrams(
  name: string,
  { answeredBy, longestGapMs }: FlowReport,
  { ended, stops, moves }: Circumstances,
): readonly string[] {
  if (!Object.keys(answeredBy).some((pod) => ended.has(pod))) {
    return longestGapMs > UDP_SILENCE_MS ? [`no answer for ${longestGapMs} ms`] : [];
  }
  return moves.filter(({ flow, from }) => flow === name && ended.has(from)).flatMap(({ from, at }) => {
    const stop = stops.get(from)?.findLast((time) => time <= at);
    // A flow that moved before its pod stopped serving was not silent.
    const late = stop === undefined ? 0 : at - stop;
    return late > UDP_SILENCE_MS ? [`answered again ${late} ms after ${from} stopped serving`] : [];
  });
}
