import type { ClientPath } from "../core/observe/status/client_paths.ts";
import type { EndpointDetail, PortDetail } from "../core/observe/status/service_detail.ts";
import { shape, type Tone } from "./dom.ts";

const WIDTH = 980;
/** Left edge and width of the columns: clients, frontends, policies, endpoints. */
const COLUMNS = [[0, 190], [262, 200], [534, 170], [776, 204]] as const;
const TITLES = ["Clients", "Frontends", "Policy", "Endpoints"];
const TOP = 28;
const BOX = 40;
const GAP = 10;
/** Boxes per column; the last one says how many there are besides. */
const MAX_BOXES = 12;

interface Box {
  readonly lines: readonly [string, string];
  readonly tone: Tone | "";
}

interface Placed extends Box {
  readonly x: number;
  readonly y: number;
  readonly width: number;
}

/** Draws one service port: clients → frontends → policy → endpoints. */
export function pictureOf(port: PortDetail): SVGElement {
  const { frontends, moreFrontends, paths, endpoints, moreEndpoints } = port;
  const shownFrontends = frontends.slice(0, MAX_BOXES - 1);
  const shownEndpoints = [...endpoints].sort((a, b) => b.lists.length - a.lists.length).slice(
    0,
    MAX_BOXES - 1,
  );
  const columns = [
    paths.map(({ clients, masquerades }): Box => ({
      lines: [clients, masqueradeText(masquerades)],
      tone: "",
    })),
    [
      ...shownFrontends.map(({ kind, text }): Box => ({ lines: [text, kind], tone: "accent" })),
      ...moreBox(frontends.length - shownFrontends.length + moreFrontends, "frontends"),
    ],
    paths.map(policyBox),
    [
      ...shownEndpoints.map((endpoint) => endpointBox(endpoint, port)),
      ...moreBox(endpoints.length - shownEndpoints.length + moreEndpoints, "endpoints"),
    ],
  ];
  const rows = Math.max(...columns.map(({ length }) => length), 1);
  const height = TOP + rows * (BOX + GAP);
  const [clients = [], fronts = [], policies = [], ends = []] = columns.map((boxes, column) =>
    place(boxes, column, height)
  );
  const links: SVGElement[] = [];
  for (const [index, path] of paths.entries()) {
    const [client, policy] = [clients[index], policies[index]];
    if (client === undefined || policy === undefined) continue;
    const isBad = path.result === "reject" || path.result === "drop";
    for (const [at, { kind }] of shownFrontends.entries()) {
      const front = fronts[at];
      if (front === undefined || !path.frontends.some((one) => one === kind)) continue;
      links.push(link(client, front, isBad), link(front, policy, isBad));
    }
    for (const [at, { lists }] of shownEndpoints.entries()) {
      const end = ends[at];
      if (end !== undefined && lists.some((list) => list === path.result)) {
        links.push(link(policy, end, false));
      }
    }
  }
  return shape(
    "svg",
    { viewBox: `0 0 ${WIDTH} ${height}`, role: "img", "aria-label": describe(port) },
    ...TITLES.map((title, column) =>
      shape("text", { class: "head", x: COLUMNS[column]?.[0] ?? 0, y: 14 }, title)
    ),
    ...links,
    ...[clients, fronts, policies, ends].flat().flatMap(draw),
  );
}

function masqueradeText(masquerades: ClientPath["masquerades"]): string {
  return {
    "none": "keep their address",
    "all": "masqueraded",
    "sources outside of this node": "masqueraded if not local",
    "the node": "masqueraded if the node",
  }[masquerades];
}

function policyBox({ policy, result, endpoints }: ClientPath): Box {
  if (result === "reject") return { lines: ["rejected", "no endpoint can take it"], tone: "bad" };
  if (result === "drop") return { lines: ["dropped", "Local, none on this node"], tone: "bad" };
  const where = result === "local" ? "on this node" : "in the cluster";
  return { lines: [policy, `${endpoints} ${where}`], tone: "accent" };
}

const endpointTones: Readonly<Record<EndpointDetail["state"], Tone>> = {
  "ready": "good",
  "terminating, still serving": "warn",
  "terminating": "quiet",
  "not ready": "bad",
};

function endpointBox(endpoint: EndpointDetail, { family, paths }: PortDetail): Box {
  const { address, port, node, zone, state, isLocal, lists } = endpoint;
  const place = [isLocal ? "this node" : node, zone === "" ? "" : `zone ${zone}`].filter((text) =>
    text !== ""
  );
  const share = shareOf(endpoint, paths);
  // The state first, because the end may not fit.
  const details = [...state === "ready" ? [] : [state], ...place, ...share === "" ? [] : [share]];
  const isUsed = lists.length > 0;
  return {
    lines: [family === "IPv6" ? `[${address}]:${port}` : `${address}:${port}`, details.join(" · ")],
    tone: state === "ready" && !isUsed ? "quiet" : endpointTones[state],
  };
}

/** The expected share of new connections, where all endpoints of a path have the same one. */
function shareOf({ lists, weight }: EndpointDetail, paths: readonly ClientPath[]): string {
  const [path] = paths.filter(({ result }) => lists.some((list) => list === result));
  if (path === undefined || path.endpoints === 0) return "";
  return weight === 1 ? `1 of ${path.endpoints}` : `weight ${weight}`;
}

function moreBox(count: number, what: string): readonly Box[] {
  return count <= 0 ? [] : [{ lines: [`${count} more ${what}`, ""], tone: "quiet" }];
}

/** Places the boxes of a column in the middle of the picture. */
function place(boxes: readonly Box[], column: number, height: number): readonly Placed[] {
  const [x, width] = COLUMNS[column] ?? COLUMNS[0];
  const used = boxes.length * (BOX + GAP) - GAP;
  const start = TOP + (height - TOP - GAP - used) / 2;
  return boxes.map((box, index) => ({ ...box, x, width, y: start + index * (BOX + GAP) }));
}

function link(from: Placed, to: Placed, isBad: boolean): SVGElement {
  const [x1, y1, x2, y2] = [from.x + from.width, from.y + BOX / 2, to.x, to.y + BOX / 2];
  const middle = (x1 + x2) / 2;
  return shape("path", {
    d: `M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2} ${y2}`,
    class: isBad ? "bad" : "",
  });
}

function draw({ x, y, width, lines: [first, second], tone }: Placed): readonly SVGElement[] {
  const full = shape("title", {}, second === "" ? first : `${first}: ${second}`);
  const box = shape(
    "rect",
    { x: x + .5, y: y + .5, width: width - 1, height: BOX - 1, rx: 6, class: tone },
    full,
  );
  const text = (line: string, at: number, kind: string, max: number) =>
    shape(
      "text",
      { x: x + 10, y: y + at, class: kind },
      line.length > max ? `${line.slice(0, max - 1)}…` : line,
    );
  const max = Math.floor((width - 16) / 6.9);
  if (second === "") return [box, text(first, 25, "", max)];
  return [box, text(first, 17, "", max), text(second, 32, "minor", Math.floor((width - 16) / 6))];
}

function describe({ paths, frontends, endpoints }: PortDetail): string {
  const ways = paths.map(({ clients, result, endpoints }) =>
    `${clients}: ${
      result === "reject"
        ? "rejected"
        : result === "drop"
        ? "dropped"
        : `balanced over ${endpoints} endpoints`
    }`
  );
  return `${frontends.length} frontends, ${endpoints.length} endpoints. ${ways.join(". ")}.`;
}
