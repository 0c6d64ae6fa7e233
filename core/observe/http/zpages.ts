import { KUBERNETES, VERSION } from "../../version.ts";
import { mediaRanges } from "./accept.ts";
import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { text } from "./text.ts";

export interface ZpagesOptions {
  /** The feature gate ComponentStatusz. */
  readonly hasStatusz: boolean;
  /** The feature gate ComponentFlagz. */
  readonly hasFlagz: boolean;
  /** Values of all flags by name. */
  readonly flags: Readonly<Record<string, string>>;
  /** Paths that the server has besides. */
  readonly paths: readonly string[];
}

/** The component's name is kube-proxy's, for tools that look for it. */
const COMPONENT = "kube-proxy";
const GROUP = "config.k8s.io";
const WARNING =
  "Warning: This endpoint is not meant to be machine parseable, has no formatting compatibility " +
  "guarantees and is for debugging purposes only.";
/** Paths of APIs, which k8s.io/apiserver/pkg/server/statusz leaves out, too. */
const API = "/api";

/** Routes of /statusz and /flagz, as k8s.io/apiserver/pkg/server has them: docs/behaviour.md §9.6. */
export function zpageRoutes(options: ZpagesOptions): Readonly<Record<string, Route>> {
  const { hasStatusz, hasFlagz, flags, paths } = options;
  const flagz = Object.fromEntries(Object.entries(flags).sort(([a], [b]) => a < b ? -1 : 1));
  const folders = foldersOf([...paths, ...(hasFlagz ? ["/flagz"] : [])]);
  return {
    ...(hasStatusz ? { "/statusz": (request) => statuszPage(request, folders) } : {}),
    ...(hasFlagz
      ? { "/flagz": (request) => page(request, "Flagz", () => ({ flags: flagz }), () => lines(flagz)) }
      : {}),
  };
}

function statuszPage(request: HttpRequest, paths: readonly string[]): Promise<Response> {
  const started = new Date(performance.timeOrigin);
  const upSeconds = Math.max(0, Math.floor(performance.now() / 1000));
  const { major, minor } = KUBERNETES;
  const status = {
    startTime: started.toISOString().replace(/\.\d+Z$/, "Z"),
    uptimeSeconds: upSeconds,
    goVersion: `none (Deno ${Deno.version.deno})`,
    binaryVersion: `${major}.${minor}.0+proxy.${VERSION}`,
    emulationVersion: `${major}.${minor}`,
    paths,
  };
  const asText = () =>
    `\n${
      lines({
        Started: unixDate(started),
        Up: uptime(upSeconds),
        "Go version": status.goVersion,
        "Binary version": status.binaryVersion,
        "Emulation version": status.emulationVersion,
        Paths: paths.join(" "),
      })
    }`;
  return page(request, "Statusz", () => status, asText);
}

/** Answers with the representation that the client wants most; by default with text. */
async function page(
  { accept }: HttpRequest,
  kind: "Statusz" | "Flagz",
  fields: () => object,
  asText: () => string,
): Promise<Response> {
  const header = `\n${COMPONENT} ${kind.toLowerCase()}\n${WARNING}\n`;
  if (accept.trim() === "") return text(header + asText());
  for (const { type, parameters } of mediaRanges(accept)) {
    if (["text/plain", "text/*", "*/*"].includes(type)) return text(header + asText());
    const version = parameters.get("v") ?? "";
    const isKnown = parameters.get("g") === GROUP && parameters.get("as") === kind &&
      ["v1beta1", "v1alpha1"].includes(version);
    if (isMachineReadable(type) && isKnown) return await structured(type, kind, version, fields());
  }
  return notAcceptable(kind);
}

/** Types of kube-proxy's, without CBOR. */
const MACHINE_READABLE = ["application/json", "application/yaml"] as const;
type MachineReadable = typeof MACHINE_READABLE[number];

function isMachineReadable(type: string): type is MachineReadable {
  return MACHINE_READABLE.some((one) => one === type);
}

async function structured(
  type: MachineReadable,
  kind: string,
  version: string,
  fields: object,
): Promise<Response> {
  const body = { kind, apiVersion: `${GROUP}/${version}`, metadata: { name: COMPONENT }, ...fields };
  const headers = new Headers({ "content-type": `${type};g=${GROUP};v=${version};as=${kind}` });
  if (version === "v1alpha1") {
    const name = kind.toLowerCase();
    const advice = `This version of the ${name} endpoint is deprecated. Please use a newer version.`;
    headers.set("warning", `299 - "${advice}"`);
  }
  return new Response(await encoded(type, body), { headers });
}

async function encoded(type: MachineReadable, body: object): Promise<string> {
  if (type === "application/json") return `${JSON.stringify(body, null, 2)}\n`;
  // Loaded when somebody asks, because it costs memory.
  const { stringify } = await import("yaml");
  return stringify(body, { version: "1.1", lineWidth: 0 });
}

/** A metav1.Status, as the API server has it. */
function notAcceptable(kind: string): Response {
  const accepted = MACHINE_READABLE.map((type) => `${type};g=${GROUP};v=v1beta1;as=${kind}`);
  const body = {
    kind: "Status",
    apiVersion: "v1",
    metadata: {},
    status: "Failure",
    message: `only the following media types are accepted: ${[...accepted, "text/plain"].join(", ")}`,
    reason: "NotAcceptable",
    code: 406,
  };
  return new Response(`${JSON.stringify(body, null, 2)}\n`, {
    status: 406,
    headers: { "content-type": "application/json" },
  });
}

function lines(fields: Readonly<Record<string, string>>): string {
  return Object.entries(fields).map(([name, value]) => `${name}: ${value}\n`).join("");
}

/** First segments of paths, without those of APIs. */
function foldersOf(paths: readonly string[]): readonly string[] {
  const folders = paths.map((path) => `/${path.split("/")[1] ?? ""}`);
  return [...new Set(folders)].filter((folder) => folder !== "/" && folder !== API).sort();
}

/** The format UnixDate of Go: "Sun Nov 29 23:10:24 UTC 2026". */
function unixDate(time: Date): string {
  const [, weekday = "", day = "", month = "", year = "", clock = ""] =
    /^(\w+), (\d+) (\w+) (\d+) (\S+)/.exec(time.toUTCString()) ?? [];
  return `${weekday} ${month} ${String(Number(day)).padStart(2)} ${clock} UTC ${year}`;
}

function uptime(seconds: number): string {
  const two = (value: number) => String(value).padStart(2, "0");
  const minutes = Math.floor(seconds / 60);
  return `${Math.floor(minutes / 60)} hr ${two(minutes % 60)} min ${two(seconds % 60)} sec`;
}
