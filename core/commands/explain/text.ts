import type {
  EndpointFacts,
  Explanation,
  Finding,
  FrontendFacts,
  ServicePortFacts,
  Verdict,
  Walk,
} from "../../explain/explanation.ts";
import type { Table } from "../output/output.ts";
import type { Cell, Colour } from "../output/table.ts";

/** Endpoints of a service port that are listed; JSON has more. */
const MAX_ENDPOINTS = 20;

/** An explanation as text for people. */
export function explanationText(
  { subject, servicePorts, moreServicePorts, walks, findings }: Explanation,
  table: Table,
): string {
  const paragraphs = [
    table([[{ text: subject, colour: "bold" }]], 0),
    ...servicePorts.map((port) => servicePortText(port, table)),
    more(moreServicePorts, "service ports", table),
    ...walks.map((walk) => walkText(walk, table)),
    findings.some(({ severity }) => severity === "problem")
      ? ""
      : table([[{ text: "No problem was found.", colour: "green" }]], 0),
    ...findings.map((finding) => findingText(finding, table)),
  ];
  return paragraphs.filter((paragraph) => paragraph !== "").join("\n");
}

function servicePortText(
  { name, protocol, family, frontends, moreFrontends, endpoints, moreEndpoints }: ServicePortFacts,
  table: Table,
): string {
  const title = table([[`${name}  ${protocol}  ${family}`]], 0);
  const listed = endpoints.slice(0, MAX_ENDPOINTS);
  return [
    title,
    table(frontends.flatMap(frontendRows)),
    more(moreFrontends, "frontends", table),
    table(listed.map(endpointRow)),
    more(endpoints.length - listed.length + moreEndpoints, "endpoints", table),
  ].join("");
}

function more(count: number, what: string, table: Table): string {
  return count > 0 ? table([[{ text: `and ${count} more ${what}`, colour: "dim" }]]) : "";
}

function frontendRows({ frontend, kind, outcomes }: FrontendFacts): readonly (readonly Cell[])[] {
  if (outcomes.length === 0) return [[frontend, kind, { text: "answers nowhere", colour: "red" }]];
  return outcomes.map(({ clients, verdict, outcome }, index) => [
    index === 0 ? frontend : "",
    index === 0 ? kind : "",
    outcomes.length === 1 ? "everyone" : clients.join(", "),
    { text: outcome, colour: colourOf(verdict) },
  ]);
}

function endpointRow({ endpoint, state, node, isLocal, isUsed }: EndpointFacts): readonly Cell[] {
  const where = node === "" ? "node unknown" : isLocal ? `${node} (this node)` : node;
  const unused = state === "ready" && !isUsed ? ", not used from this node" : "";
  const colour = state === "ready" ? "green" : state === "not ready" ? "red" : "yellow";
  return ["endpoint", endpoint, { text: `${state}${unused}`, colour }, where];
}

function walkText({ from, to, steps, verdict, outcome }: Walk, table: Table): string {
  return table([[`From ${from} to ${to}`]], 0) +
    table([...steps.map((step) => [step]), [{ text: `→ ${outcome}`, colour: colourOf(verdict) }]]);
}

function findingText({ severity, about, text, advice }: Finding, table: Table): string {
  const isProblem = severity === "problem";
  const label: Cell = { text: isProblem ? "PROBLEM" : "notice", colour: isProblem ? "red" : "yellow" };
  const rows: (readonly Cell[])[] = [[label, `${about}: ${text}`]];
  if (advice !== "") rows.push(["", `${isProblem ? "Fix: " : ""}${advice}`]);
  return table(rows, 0);
}

function colourOf(verdict: Verdict): Colour {
  switch (verdict) {
    case "balanced":
      return "green";
    case "rejected":
    case "dropped":
      return "red";
    case "passed":
      return "plain";
  }
}
