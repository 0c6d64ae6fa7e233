import { api, NotFound } from "./api.ts";
import { hideService, showMissingService, showService } from "./detail.ts";
import { byId } from "./dom.ts";
import { showEvents } from "./events.ts";
import { listenToQuestions } from "./explain.ts";
import { showOverview } from "./overview.ts";
import { Plots } from "./plots.ts";
import { PAGE_SIZE, ServiceTable } from "./services.ts";
import { setCounted } from "./traffic.ts";

/** Time between two looks at the proxy, as long as somebody looks at the page. */
const REFRESH_MS = 2000;
/** Time after the last key before a search is sent. */
const TYPING_MS = 150;

const view = { search: "", sort: "name", offset: 0, open: openedIn(location.hash) };
let timer: number | undefined;
let isRefreshing = false;
let isStale = false;

const plots = new Plots();
const table = new ServiceTable({
  open(name) {
    location.hash = `service=${encodeURIComponent(name)}`;
    byId("service").hidden = false;
    requestAnimationFrame(() => byId("service").scrollIntoView({ block: "nearest" }));
  },
  order: (sort) => change({ sort, offset: 0 }),
  move: (offset) => change({ offset }),
});

function openedIn(hash: string): string | undefined {
  return new URLSearchParams(hash.slice(1)).get("service") ?? undefined;
}

function change(changed: Partial<typeof view>): void {
  Object.assign(view, changed);
  refreshNow();
}

function close(): void {
  history.replaceState(null, "", location.pathname);
  hideService();
  change({ open: undefined });
  byId("services").focus({ preventScroll: true });
}

function refreshNow(): void {
  isStale = isRefreshing;
  if (!isRefreshing) void refresh();
}

/** Asks for everything that is shown, and asks again later unless nobody looks. */
async function refresh(): Promise<void> {
  clearTimeout(timer);
  isRefreshing = true;
  try {
    await Promise.all([
      showStatus(),
      showServices(),
      showOpened(),
      api.events().then(({ events }) => showEvents(events)),
    ]);
    byId("trouble").hidden = true;
    byId("read").textContent = `Read at ${new Date().toTimeString().slice(0, 8)}.`;
  } catch (error) {
    const trouble = byId("trouble");
    const reason = error instanceof Error ? error.message : String(error);
    trouble.textContent = `The proxy does not answer (${reason}). What follows is old; the page tries again.`;
    trouble.hidden = false;
  }
  isRefreshing = false;
  if (isStale) return refreshNow();
  if (document.visibilityState === "visible") timer = setTimeout(refresh, REFRESH_MS);
}

async function showStatus(): Promise<void> {
  const status = await api.status();
  setCounted(status.traffic !== "off");
  showOverview(status);
  plots.show(status);
}

async function showServices(): Promise<void> {
  const { search, sort, offset } = view;
  const page = await api.services({ search, sort, offset: String(offset), limit: String(PAGE_SIZE) });
  table.show(page, sort, view.open);
}

async function showOpened(): Promise<void> {
  const { open } = view;
  if (open === undefined) return hideService();
  try {
    const detail = await api.service(open);
    if (view.open === open) showService(detail, close);
  } catch (error) {
    if (!(error instanceof NotFound)) throw error;
    showMissingService(open, close);
  }
}

listenToQuestions();
let typing: number | undefined;
byId("search").addEventListener("input", (event) => {
  clearTimeout(typing);
  const search = event.target instanceof HTMLInputElement ? event.target.value : "";
  typing = setTimeout(() => change({ search, offset: 0 }), TYPING_MS);
});
byId("search-form").addEventListener("submit", (event) => event.preventDefault());
addEventListener("hashchange", () => change({ open: openedIn(location.hash) }));
addEventListener("keydown", (event) => {
  if (event.key === "Escape" && view.open !== undefined) close();
  if (event.key === "/" && !(event.target instanceof HTMLInputElement)) {
    event.preventDefault();
    byId("search").focus();
  }
});
document.addEventListener("visibilitychange", () => {
  if (document.visibilityState === "visible") refreshNow();
});

void refresh();
