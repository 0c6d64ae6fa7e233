import type { EndpointDetail, PortDetail, ServiceDetail } from "../core/observe/status/service_detail.ts";
import { byId, element, tag } from "./dom.ts";
import { ask } from "./explain.ts";
import { pictureOf } from "./picture.ts";
import { policiesOf, toneOf } from "./services.ts";
import { trafficText } from "./traffic.ts";

let shown = "";

/** Shows one service opened. What has not changed stays, with its focus. */
export function showService(detail: ServiceDetail, close: () => void): void {
  const section = byId("service");
  const text = JSON.stringify({ ...detail, ports: detail.ports.map((port) => ({ ...port, traffic: [] })) });
  if (text !== shown || section.hidden) {
    shown = text;
    const hadFocus = section.contains(document.activeElement);
    const wasOpen = [...section.querySelectorAll("details")].map(({ open }) => open);
    section.hidden = false;
    section.replaceChildren(...contentsOf(detail, close));
    for (const [index, details] of section.querySelectorAll("details").entries()) {
      details.open = wasOpen[index] ?? false;
    }
    if (hadFocus) section.focus({ preventScroll: true });
  }
  for (const [index, line] of section.querySelectorAll(".traffic").entries()) {
    const port = detail.ports[index];
    if (port !== undefined) line.textContent = trafficText(port);
  }
}

export function hideService(): void {
  shown = "";
  byId("service").hidden = true;
}

/** Says that the opened service does not exist. */
export function showMissingService(name: string, close: () => void): void {
  shown = "";
  const section = byId("service");
  section.hidden = false;
  section.replaceChildren(
    bar(name, [], close),
    element(
      "p",
      { class: "facts" },
      "This node knows no Service of this name. It may be deleted, headless, or left to another proxy.",
    ),
  );
}

function contentsOf(detail: ServiceDetail, close: () => void): readonly Node[] {
  const { namespace, name, problems, ports, morePorts } = detail;
  return [
    bar(`${namespace}/${name}`, problems.map((problem) => tag(problem, toneOf[problem])), close),
    element("p", { class: "facts" }, factsOf(detail)),
    ...ports.flatMap(portOf),
    ...morePorts === 0 ? [] : [element("p", { class: "facts" }, `${morePorts} more ports.`)],
  ];
}

function bar(title: string, tags: readonly Node[], close: () => void): HTMLElement {
  const explain = element("button", { type: "button", id: "explain-service" }, "Explain");
  explain.addEventListener("click", () => ask(title));
  const button = element("button", { type: "button", id: "close" }, "Close");
  button.addEventListener("click", close);
  return element(
    "div",
    { class: "bar" },
    element("h2", { id: "service-title" }, title),
    element("span", {}, ...tags),
    element("span", { class: "actions" }, explain, button),
  );
}

function factsOf(detail: ServiceDetail): string {
  const { endpoints, created, affinitySeconds, healthCheckNodePort } = detail;
  const policies = policiesOf({ ...detail, affinitySeconds: 0 });
  return [
    `${endpoints.ready} of ${endpoints.total} endpoints ready, ${endpoints.local} on this node`,
    policies.length === 0 ? "policy Cluster" : policies.join(", "),
    ...affinitySeconds === 0 ? [] : [`ClientIP affinity for ${affinitySeconds} s`],
    ...healthCheckNodePort === 0 ? [] : [`health-check node port ${healthCheckNodePort}`],
    ...created === "" ? [] : [`created ${created}`],
  ].join(" · ");
}

function portOf(port: PortDetail): readonly Node[] {
  const { portName, protocol, family, inForce, rejection, sourceRanges, endpoints } = port;
  const title = `Port ${portName === "" ? "" : `${portName} · `}${protocol} · ${family}`;
  const nodes: Node[] = [element("h3", {}, title), element("p", { class: "facts traffic" })];
  if (rejection !== undefined) {
    nodes.push(element("p", { class: "facts" }, tag("rejected", "bad"), rejection));
  }
  if (!inForce) nodes.push(element("p", { class: "facts" }, "The kernel has no rules for it."));
  if (sourceRanges !== undefined) {
    nodes.push(
      element(
        "p",
        { class: "facts" },
        `Addresses of the load balancer answer only to ${sourceRanges.join(", ")}.`,
      ),
    );
  }
  if (inForce) {
    nodes.push(
      element(
        "div",
        { class: "picture", role: "region", "aria-label": "Picture", tabindex: "0" },
        pictureOf(port),
      ),
    );
  }
  if (endpoints.length > 0) nodes.push(endpointList(port));
  return nodes;
}

function endpointList({ endpoints, moreEndpoints }: PortDetail): HTMLElement {
  const rows = endpoints.map(({ address, port, node, zone, state, isLocal, lists, weight }: EndpointDetail) =>
    element(
      "tr",
      {},
      ...[
        address,
        String(port),
        isLocal ? `${node} (this node)` : node,
        zone,
        state,
        lists.join(" and ") || "none",
        String(weight),
      ]
        .map((text) => element("td", {}, text)),
    )
  );
  const more = moreEndpoints === 0 ? "" : `, ${moreEndpoints} more are not shown`;
  return element(
    "details",
    {},
    element("summary", {}, `Endpoints as a table${more}`),
    element(
      "div",
      { class: "scroll", role: "region", "aria-label": "Table of endpoints", tabindex: "0" },
      element(
        "table",
        { class: "endpoint-list" },
        element(
          "thead",
          {},
          element(
            "tr",
            {},
            ...["Address", "Port", "Node", "Zone", "State", "Gets connections of", "Weight"].map((title) =>
              element("th", { scope: "col" }, title)
            ),
          ),
        ),
        element("tbody", {}, ...rows),
      ),
    ),
  );
}
