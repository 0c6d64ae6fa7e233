import { familyOf, parseAddress } from "../../net/address.ts";
import {
  choice,
  flag,
  InvalidField,
  list,
  type Mapping,
  mappings,
  port,
  section,
  show,
  text,
} from "./fields.ts";
import { isObjectName, isTopologyName, readPortName, readTopologyName } from "./names.ts";
import { FAMILIES, type Family, PROTOCOLS } from "../../net/protocol.ts";
import type { EndpointSlice, EndpointTraits, ObjectRef, SliceEndpoint, SlicePort } from "../objects.ts";
import { annotationOf, hasLabel, labels, type NotProxied, type Report, timeOf } from "./kind.ts";
import { weightOf } from "./annotations.ts";
import { ownText, Pool, sharedText } from "./interning.ts";

/** Parses a discovery.k8s.io/v1 EndpointSlice: docs/behaviour.md §1.3, §1.4. */
export function parseSlice(raw: Mapping, ref: ObjectRef, report: Report): EndpointSlice | NotProxied {
  if (hasLabel(raw, HEADLESS_LABEL)) return { why: `it has the label ${HEADLESS_LABEL}` };
  const service = labels(raw, (all) => text(all, SERVICE_NAME_LABEL));
  if (service === "") return { why: `it has no label ${SERVICE_NAME_LABEL}` };
  if (!isObjectName(service)) {
    return { why: `the value of its label ${SERVICE_NAME_LABEL} is not a Service name` };
  }
  const addressType = text(raw, "addressType");
  if (addressType === "") throw new InvalidField("addressType", "missing; write IPv4 or IPv6");
  const family = FAMILIES.find((one) => one === addressType);
  if (family === undefined) return { why: `its addressType is ${show(addressType)}` };
  return {
    kind: "EndpointSlice",
    namespace: ref.namespace,
    name: ref.name,
    service: ownText(service),
    family,
    ports: readPorts(raw, report),
    endpoints: readEndpoints(raw, family, report),
    triggerTime: timeOf(annotationOf(raw, TRIGGER_TIME_ANNOTATION)),
    weight: weightOf(raw, report),
  };
}

const HEADLESS_LABEL = "service.kubernetes.io/headless";
const SERVICE_NAME_LABEL = "kubernetes.io/service-name";
const TRIGGER_TIME_ANNOTATION = "endpoints.kubernetes.io/last-change-trigger-time";

const knownPorts = new Pool<readonly SlicePort[]>();

function readPorts(raw: Mapping, report: Report): readonly SlicePort[] {
  const ports = mappings(raw, "ports", (entry, index): SlicePort | undefined => {
    // The API server writes "" for a missing name. A name that is null all the same belongs to no service
    // port.
    if (entry["name"] === null) {
      report(`ports[${index}].name`, 'null; skipped (leave it out, or write "")');
      return undefined;
    }
    const number = port(entry, "port");
    if (number === 0) {
      report(`ports[${index}].port`, "missing; skipped");
      return undefined;
    }
    const name = sharedText(readPortName(entry, "name"));
    return { name, protocol: choice(entry, "protocol", PROTOCOLS, "TCP"), port: number };
  });
  const key = ports.map(({ name, protocol, port }) => `${name}/${protocol}/${port}`).join(",");
  return knownPorts.share(key, () => ports);
}

function readEndpoints(raw: Mapping, family: Family, report: Report): readonly SliceEndpoint[] {
  return mappings(raw, "endpoints", (entry, index): SliceEndpoint | undefined => {
    const written = list(entry, "addresses")[0];
    const address = typeof written === "string" ? parseAddress(written) : undefined;
    if (address === undefined || familyOf(address) !== family) {
      const problem = written === undefined ? "missing" : `${show(written)} is not an ${family} address`;
      report(`endpoints[${index}].addresses[0]`, `${problem}; skipped`);
      return undefined;
    }
    return { address, traits: readTraits(entry) };
  });
}

const knownTraits = new Pool<EndpointTraits>();

function readTraits(entry: Mapping): EndpointTraits {
  const conditions = section(entry, "conditions", readConditions);
  const nodeName = readTopologyName(entry, "nodeName");
  const zone = shownZone(entry["zone"]);
  const hints = section(entry, "hints", readHints);
  const { ready, serving, terminating } = conditions;
  // The separators are unambiguous, because no name contains a comma or a slash.
  const names = `${nodeName}/${zone}/${hints.zoneHints.join(",")}/${hints.nodeHints.join(",")}`;
  return knownTraits.share(`${names}/${ready}/${serving}/${terminating}`, () => ({
    ...conditions,
    nodeName: sharedText(nodeName),
    ...(zone === "" ? {} : { zone: sharedText(zone) }),
    zoneHints: hints.zoneHints.map(sharedText),
    nodeHints: hints.nodeHints.map(sharedText),
  }));
}

/** The zone decides nothing here, so that an invalid one is no reason to refuse the object. */
function shownZone(zone: unknown): string {
  return typeof zone === "string" && isTopologyName(zone) ? zone : "";
}

function readConditions(conditions: Mapping) {
  return {
    ready: flag(conditions, "ready", true),
    serving: flag(conditions, "serving", true),
    terminating: flag(conditions, "terminating", false),
  };
}

function readHints(hints: Mapping) {
  return { zoneHints: readNames(hints, "forZones"), nodeHints: readNames(hints, "forNodes") };
}

function readNames(hints: Mapping, key: string): readonly string[] {
  return mappings(hints, key, (hint) => {
    const name = readTopologyName(hint, "name");
    return name === "" ? undefined : name;
  });
}
