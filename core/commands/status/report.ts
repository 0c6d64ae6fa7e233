import type { HistoryBucket } from "../../observe/status/history.ts";
import {
  plural,
  readableAge,
  readableNumber,
  readableSeconds,
  unservedNodePortTexts,
} from "../../observe/status/readable.ts";
import type { Status } from "../../observe/status/status.ts";
import type { Cell, Colour } from "../output/table.ts";
import { sparkline } from "./sparkline.ts";

/** Buckets of a sparkline: ten minutes. */
const SHOWN_BUCKETS = 60;

/** The rows of the status: a name and what is to say about it. */
export function statusRows(status: Status): readonly (readonly Cell[])[] {
  const { version, mode, modeReason, node, startedAt, now, objects, waiting, families } = status;
  const pending = waiting.services + waiting.endpoints;
  return [
    [
      "proxy",
      `version ${version}, mode ${mode}, node ${node}, ${families.join(" and ")}, started ${
        readableAge(startedAt, now)
      }`,
    ],
    ...(modeReason === undefined ? [] : [["mode", `${mode}, selected by --proxy-mode=auto: ${modeReason}`]]),
    ["health", healthCell(status)],
    ["source", sourceCell(status)],
    [
      "objects",
      `${plural(objects.services, "Service")}, ${plural(objects.servicePorts, "service port")} in force, ${
        plural(objects.endpoints, "endpoint")
      }`,
    ],
    ["last sync", lastSyncText(status)],
    ["latency", latencyText(status)],
    [
      "waiting",
      pending === 0
        ? "nothing"
        : `${waiting.services} changes of Services, ${waiting.endpoints} of EndpointSlices`,
    ],
    ...relayRows(status),
    ...loopbackRows(status),
    ["repairs", repairsCell(status)],
    ...errorRows(status),
  ];
}

/** True when what is desired is in force. */
export function isWell({ health, errors }: Status): boolean {
  return health.healthy && errors.sync === undefined && errors.rejections.total === 0;
}

function coloured(text: string, colour: Colour): Cell {
  return { text, colour };
}

function healthCell({ health: { healthy, nodeEligible } }: Status): Cell {
  if (!healthy) {
    return coloured(
      "unhealthy: what is desired has not been in force for longer than twice the sync period",
      "red",
    );
  }
  return nodeEligible
    ? coloured("healthy", "green")
    : coloured("healthy, but the node is not eligible for load balancers", "yellow");
}

function sourceCell({ source: { kind, connected, lostAt }, now }: Status): Cell {
  if (connected) return `${kind}, connected`;
  return coloured(
    `${kind}, lost${
      lostAt === undefined ? "" : ` ${readableAge(lostAt, now)}`
    }; the last known state stays in force`,
    "red",
  );
}

function lastSyncText({ lastSync, now, history }: Status): string {
  if (lastSync === undefined) return "none yet";
  const { seconds, full, reason, changes, at } = lastSync;
  const kind = full ? `full (${reason ?? "no reason"})` : plural(changes, "change");
  const line = historyLine(history, now, ({ syncSeconds }) => syncSeconds);
  return `${readableSeconds(seconds)}, ${kind}, ${readableAge(at, now)}${line}`;
}

function latencyText({ lag, now, history }: Status): string {
  if (lag === undefined) return "no change of an endpoint yet";
  const line = historyLine(history, now, ({ lagSeconds }) => lagSeconds ?? 0);
  return `${readableSeconds(lag.maxSeconds)}, ${readableAge(lag.at, now)}${line}`;
}

/** The last ten minutes, with a gap of height 0 where nothing happened. */
function historyLine(
  { buckets, bucketSeconds }: Status["history"],
  now: string,
  valueOf: (bucket: HistoryBucket) => number,
): string {
  const last = Math.floor(Date.parse(now) / 1000 / bucketSeconds);
  const values = new Array<number>(SHOWN_BUCKETS).fill(0);
  for (const bucket of buckets) {
    const index = SHOWN_BUCKETS - 1 - (last - bucket.at / bucketSeconds);
    if (index >= 0 && index < SHOWN_BUCKETS) values[index] = valueOf(bucket);
  }
  const first = values.findIndex((value) => value > 0);
  return first < 0 || first === SHOWN_BUCKETS - 1 ? "" : `  ${sparkline(values.slice(first))}`;
}

function relayRows({ relay }: Status): readonly (readonly Cell[])[] {
  if (relay === undefined) return [];
  const { openConnections, udpFlows, retries, failures, avoidedEndpoints } = relay;
  const open = `${plural(openConnections, "connection")} and ${plural(udpFlows, "UDP flow")} open`;
  const attempts = retries === 1 ? "1 retry" : `${readableNumber(retries)} retries`;
  const text = `${open}; ${attempts}, ${plural(failures, "failed connection")}; ${
    plural(avoidedEndpoints, "endpoint")
  } avoided`;
  return [["relay", avoidedEndpoints === 0 ? text : coloured(text, "yellow")]];
}

/** Loopback addresses in a table for people. */
const SHOWN_LOOPBACK = 5;

function loopbackRows({ loopback }: Status): readonly (readonly Cell[])[] {
  if (loopback === undefined) return [];
  const { range, served, notServed, hostsFile, hostsFileProblem } = loopback;
  const shown = served.first.slice(0, SHOWN_LOOPBACK).map(({ service, address, ports }) =>
    `${address} ${service} ${ports.join(", ")}`
  );
  const problems = notServed.first.slice(0, SHOWN_LOOPBACK).map(({ service, clusterIP, reason }) =>
    `${service} (${clusterIP}) is not served completely: ${reason}`
  );
  const lines: readonly Cell[] = [
    `${plural(served.total, "Service")} on addresses of ${range}`,
    ...shown,
    ...moreThan(shown, served.total, "are served"),
    ...problems.map((text) => coloured(text, "yellow")),
    ...moreThan(problems, notServed.total, "are not served completely").map((text) =>
      coloured(text, "yellow")
    ),
  ];
  return [
    ...lines.map((line, index) => [index === 0 ? "loopback" : "", line]),
    ...hostsFileProblem === undefined
      ? hostsFile === undefined ? [] : [["hosts file", hostsFile]]
      : [["hosts file", coloured(hostsFileProblem, "red")]],
  ];
}

function moreThan(shown: readonly unknown[], total: number, what: string): readonly string[] {
  return total > shown.length
    ? [`${total - shown.length} more ${what}; all are in the output of -o json`]
    : [];
}

function repairsCell({ repairs: { count, last: [last] }, now }: Status): Cell {
  if (last === undefined) return "none";
  return coloured(
    `${readableNumber(count)}, the last one ${readableAge(last.at, now)}: ${last.text}`,
    "yellow",
  );
}

function errorRows({ errors, now }: Status): readonly (readonly Cell[])[] {
  const { sync, rejections, invalid, frontendConflicts, nodePorts } = errors;
  const lines = [
    ...sync === undefined ? [] : [`the last sync failed ${readableAge(sync.at, now)}: ${sync.text}`],
    ...rejections.first.map(({ servicePort, reason, nextRetry }) => {
      const wait = Math.max(0, (Date.parse(nextRetry) - Date.parse(now)) / 1000);
      return `${servicePort} is rejected, next attempt in ${readableSeconds(wait)}: ${reason}`;
    }),
    ...rejections.total > rejections.first.length
      ? [`${rejections.total - rejections.first.length} more service ports are rejected`]
      : [],
    ...invalid.first.map(({ object, reason, since }) =>
      `${object} became invalid ${readableAge(since, now)}: ${reason}`
    ),
    ...invalid.total > invalid.first.length
      ? [`${invalid.total - invalid.first.length} more objects are invalid`]
      : [],
    ...frontendConflicts > 0
      ? [`${plural(frontendConflicts, "frontend")} of Services held by other Services`]
      : [],
    ...unservedNodePortTexts(nodePorts),
  ];
  if (lines.length === 0) return [["errors", "none"]];
  return lines.map((line, index) => [index === 0 ? "errors" : "", coloured(line, "red")]);
}
