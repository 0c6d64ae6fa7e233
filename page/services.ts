import { readableNumber } from "../core/observe/status/readable.ts";
import type { ServicePage } from "../core/observe/status/service_search.ts";
import type { Problem, ServiceRow } from "../core/observe/status/services.ts";
import { byId, element, tag, type Tone } from "./dom.ts";
import { readTraffic, trafficCell } from "./traffic.ts";

/** Rows of one page of the table. */
export const PAGE_SIZE = 50;

export const toneOf: Readonly<Record<Problem, Tone>> = {
  "rejected": "bad",
  "conflict": "bad",
  "no endpoints": "bad",
  "not in force": "warn",
  "no local endpoints": "quiet",
};

interface Column {
  readonly title: string;
  /** Order of the API; absent if the table cannot be sorted by it. */
  readonly sort?: string;
  readonly class: string;
  /** Content of a cell: changes are detected by its text. */
  readonly cell: (row: ServiceRow) => readonly (Node | string)[];
}

const columns: readonly Column[] = [
  {
    title: "Ports",
    class: "ports wide",
    cell: ({ ports, morePorts }) => [ports.join(", "), morePorts === 0 ? "" : ` and ${morePorts} more`],
  },
  {
    title: "Addresses",
    class: "addresses wide",
    cell: ({ addresses }) => [addresses.slice(0, 3).join(", ")],
  },
  {
    title: "Ready",
    sort: "ready",
    class: "number",
    cell: (
      { endpoints: { ready, total } },
    ) => [ready === total ? readableNumber(ready) : `${ready} of ${total}`],
  },
  {
    title: "On this node",
    class: "number wide",
    cell: ({ endpoints: { local } }) => [readableNumber(local)],
  },
  { title: "Connections", sort: "connections", class: "traffic number", cell: trafficCell },
  {
    title: "Refused",
    sort: "refused",
    class: "number wide",
    cell: (
      { traffic },
    ) => [traffic === undefined || traffic.refused === 0 ? "" : readableNumber(traffic.refused)],
  },
  {
    title: "Policies",
    class: "wide",
    cell: (row) => policiesOf(row).map((policy) => tag(policy, "quiet")),
  },
  {
    title: "Problems",
    sort: "problems",
    class: "",
    cell: ({ problems }) => problems.map((problem) => tag(problem, toneOf[problem])),
  },
];

export function policiesOf(
  { internalTrafficPolicy, externalTrafficPolicy, affinitySeconds }: Pick<
    ServiceRow,
    "internalTrafficPolicy" | "externalTrafficPolicy" | "affinitySeconds"
  >,
): readonly string[] {
  return [
    ...internalTrafficPolicy === "Local" ? ["internal Local"] : [],
    ...externalTrafficPolicy === "Local" ? ["external Local"] : [],
    ...affinitySeconds > 0 ? ["ClientIP"] : [],
  ];
}

export interface TableActions {
  open(name: string): void;
  /** @param sort order of the API, with "-" for descending. */
  order(sort: string): void;
  move(offset: number): void;
}

/** The table of services. Rows are updated in place, so that the focus stays where it is. */
export class ServiceTable {
  readonly #actions: TableActions;
  readonly #body = element("tbody");
  readonly #heads = new Map<string, HTMLElement>();
  #rows = new Map<string, HTMLTableRowElement>();

  constructor(actions: TableActions) {
    this.#actions = actions;
    const head = element(
      "tr",
      {},
      this.#head("Service", "name", ""),
      ...columns.map(({ title, sort, class: kind }) => this.#head(title, sort, kind)),
    );
    byId("table").append(element("thead", {}, head), this.#body);
  }

  show({ total, offset, services }: ServicePage, sort: string, open: string | undefined): void {
    readTraffic(services);
    const rows = new Map<string, HTMLTableRowElement>();
    for (const service of services) {
      const name = `${service.namespace}/${service.name}`;
      const row = this.#rows.get(name) ?? this.#newRow(service, name);
      row.className = name === open ? "open" : "";
      update(row, service);
      rows.set(name, row);
    }
    this.#rows = rows;
    const inOrder = [...rows.values()];
    const isSame = inOrder.length === this.#body.children.length &&
      inOrder.every((row, index) => this.#body.children[index] === row);
    if (!isSame) this.#body.replaceChildren(...inOrder);
    if (services.length === 0) {
      const span = String(columns.length + 1);
      this.#body.replaceChildren(
        element("tr", {}, element("td", { class: "empty", colspan: span }, "No service matches.")),
      );
    }
    for (const [name, head] of this.#heads) {
      const direction = sort === name ? "ascending" : sort === `-${name}` ? "descending" : "none";
      head.setAttribute("aria-sort", direction);
      head.querySelector("span")!.textContent = { ascending: " ↑", descending: " ↓", none: "" }[direction];
    }
    this.#showPager(total, offset);
  }

  #head(title: string, sort: string | undefined, kind: string): HTMLElement {
    const head = element("th", { scope: "col", class: kind });
    if (sort === undefined) {
      head.append(title);
      return head;
    }
    const button = element("button", { type: "button" }, title, element("span", { "aria-hidden": "true" }));
    button.addEventListener("click", () => {
      const isDescending = head.getAttribute("aria-sort") === "descending";
      const isAscending = head.getAttribute("aria-sort") === "ascending";
      this.#actions.order(isDescending || (!isAscending && sort === "name") ? sort : `-${sort}`);
    });
    head.append(button);
    this.#heads.set(sort, head);
    return head;
  }

  #newRow({ namespace, name }: ServiceRow, key: string): HTMLTableRowElement {
    const button = element("button", { type: "button" }, element("small", {}, `${namespace}/`), name);
    button.addEventListener("click", () => this.#actions.open(key));
    return element(
      "tr",
      {},
      element("th", { scope: "row" }, button),
      ...columns.map(({ class: kind }) => element("td", { class: kind })),
    );
  }

  #showPager(total: number, offset: number): void {
    const last = Math.min(offset + PAGE_SIZE, total);
    const count = total === 0
      ? "none"
      : total <= PAGE_SIZE
      ? `${total}`
      : `${offset + 1}–${last} of ${total}`;
    if (byId("count").textContent !== count) byId("count").textContent = count;
    const pager = byId("pager");
    pager.hidden = total <= PAGE_SIZE;
    if (pager.hidden) return;
    if (pager.children.length === 0) {
      for (const [text, step] of [["Previous", -PAGE_SIZE], ["Next", PAGE_SIZE]] as const) {
        const button = element("button", { type: "button" }, text);
        button.addEventListener("click", () => this.#actions.move(Number(pager.dataset.offset) + step));
        pager.append(button);
      }
    }
    pager.dataset.offset = String(offset);
    const [previous, next] = pager.querySelectorAll("button");
    if (previous !== undefined) previous.disabled = offset === 0;
    if (next !== undefined) next.disabled = last >= total;
  }
}

function update(row: HTMLTableRowElement, service: ServiceRow): void {
  for (const [index, { cell }] of columns.entries()) {
    const box = row.cells[index + 1];
    if (box === undefined) continue;
    const content = cell(service);
    // A picture changes with every reading.
    const hasPicture = content.some((part) => part instanceof SVGElement);
    const text = content.map((part) => typeof part === "string" ? part : part.textContent).join("|");
    if (box.dataset.text === text && !hasPicture) continue;
    box.dataset.text = text;
    box.replaceChildren(...content);
  }
}
