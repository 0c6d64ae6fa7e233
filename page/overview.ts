import {
  plural,
  readableAge,
  readableNumber,
  readableSeconds,
  unservedNodePortTexts,
} from "../core/observe/status/readable.ts";
import type { Status } from "../core/observe/status/status.ts";
import { byId, element, type Tone } from "./dom.ts";

interface Fact {
  readonly name: string;
  readonly value: string;
  readonly note: string;
  readonly tone?: Tone;
}

/** Shows health, numbers and errors. */
export function showOverview(status: Status): void {
  const { version, mode, node, startedAt, now } = status;
  byId("identity").textContent = `${mode} on ${node}, version ${version}, started ${
    readableAge(startedAt, now)
  }`;
  document.title = `proxy on ${node}`;
  showHealth(status);
  showFacts(factsOf(status));
  showErrors(status);
}

/** Connections that end at the proxy, in a mode where they do. */
function relayFacts({ relay }: Status): readonly Fact[] {
  if (relay === undefined) return [];
  const { openConnections, udpFlows, retries, failures, avoidedEndpoints } = relay;
  return [{
    name: "Relay",
    value: `${readableNumber(openConnections + udpFlows)} open`,
    note: `${readableNumber(retries)} retried, ${readableNumber(failures)} failed, ${
      plural(avoidedEndpoints, "endpoint")
    } avoided`,
    ...(avoidedEndpoints > 0 ? { tone: "warn" } : {}),
  }];
}

/** Services that are served on loopback addresses, if there are such. */
function loopbackFacts({ loopback }: Status): readonly Fact[] {
  if (loopback === undefined) return [];
  const { range, served, notServed } = loopback;
  return [{
    name: "Loopback",
    value: readableNumber(served.total),
    note: `${
      notServed.total === 0 ? "" : `${readableNumber(notServed.total)} not served completely; `
    }in ${range}`,
    ...(notServed.total > 0 ? { tone: "warn" } : {}),
  }];
}

function showHealth({ health, source }: Status): void {
  const [text, tone]: [string, Tone] = !health.healthy
    ? ["unhealthy", "bad"]
    : !source.connected
    ? ["healthy, source lost", "warn"]
    : !health.nodeEligible
    ? ["healthy, node not eligible", "warn"]
    : ["healthy", "good"];
  const pill = byId("health");
  if (pill.textContent !== text) pill.textContent = text;
  pill.className = `pill ${tone}`;
}

function factsOf(status: Status): readonly Fact[] {
  const { source, objects, lastSync, lag, waiting, repairs, now } = status;
  const pending = waiting.services + waiting.endpoints;
  return [
    {
      name: "Source",
      value: source.connected ? "connected" : "lost",
      note: source.lostAt === undefined ? source.kind : `${source.kind}, ${readableAge(source.lostAt, now)}`,
      ...(source.connected ? {} : { tone: "bad" }),
    },
    {
      name: "Services",
      value: readableNumber(objects.services),
      note: `${readableNumber(objects.servicePorts)} ports in force`,
    },
    { name: "Endpoints", value: readableNumber(objects.endpoints), note: "in EndpointSlices" },
    ...relayFacts(status),
    ...loopbackFacts(status),
    {
      name: "Last sync",
      value: lastSync === undefined ? "none yet" : readableSeconds(lastSync.seconds),
      note: lastSync === undefined
        ? ""
        : `${lastSync.full ? "full" : plural(lastSync.changes, "change")}, ${readableAge(lastSync.at, now)}`,
    },
    {
      name: "Latency",
      value: lag === undefined ? "–" : readableSeconds(lag.maxSeconds),
      note: lag === undefined ? "no endpoint change yet" : `of changes ${readableAge(lag.at, now)}`,
    },
    {
      name: "Waiting",
      value: readableNumber(pending),
      note: pending === 0
        ? "everything is in force"
        : `${waiting.services} of services, ${waiting.endpoints} of slices`,
    },
    {
      name: "Repairs",
      value: readableNumber(repairs.count),
      note: repairs.last[0] === undefined ? "no foreign changes" : readableAge(repairs.last[0].at, now),
    },
  ];
}

/** Updates the texts in place, so that nothing moves for readers of the screen. */
function showFacts(facts: readonly Fact[]): void {
  const list = byId("facts");
  for (const [index, { name, value, note, tone }] of facts.entries()) {
    const box = list.children[index] ??
      list.appendChild(element("div", {}, element("dt", {}, name), element("dd", {}, "", element("small"))));
    const [text, small] = box.querySelector("dd")?.childNodes ?? [];
    if (text !== undefined && text.nodeValue !== value) text.nodeValue = value;
    if (small instanceof HTMLElement) {
      small.textContent = note;
      small.className = tone ?? "";
    }
  }
}

function showErrors({ errors, now }: Status): void {
  const lines: string[] = [];
  if (errors.sync !== undefined) {
    lines.push(`The last sync failed ${readableAge(errors.sync.at, now)}: ${errors.sync.text}`);
  }
  for (const { servicePort, reason, since, nextRetry } of errors.rejections.first) {
    const wait = Math.max(0, (Date.parse(nextRetry) - Date.parse(now)) / 1000);
    lines.push(
      `${servicePort} is rejected since ${readableAge(since, now)}, next attempt in ${
        readableSeconds(wait)
      }: ${reason}`,
    );
  }
  const more = errors.rejections.total - errors.rejections.first.length;
  if (more > 0) lines.push(`${more} more service ports are rejected`);
  for (const { object, reason, since } of errors.invalid.first) {
    lines.push(`${object} became invalid ${readableAge(since, now)}: ${reason}`);
  }
  const moreInvalid = errors.invalid.total - errors.invalid.first.length;
  if (moreInvalid > 0) lines.push(`${moreInvalid} more objects are invalid`);
  if (errors.frontendConflicts > 0) {
    lines.push(
      `${
        plural(errors.frontendConflicts, "frontend")
      } of services belong to other services: search for “conflict”`,
    );
  }
  lines.push(...unservedNodePortTexts(errors.nodePorts));
  const section = byId("errors");
  section.hidden = lines.length === 0;
  section.replaceChildren(
    element("h2", {}, "Errors"),
    element("ul", {}, ...lines.map((line) => element("li", {}, line))),
  );
}
