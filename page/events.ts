import type { ProxyEvent } from "../core/observe/status/events.ts";
import { byId, element, tag, type Tone } from "./dom.ts";

const tones: Readonly<Record<ProxyEvent["severity"], Tone>> = {
  error: "bad",
  warning: "warn",
  info: "quiet",
};

let shown = -1;

/** Shows the events, the newest first, if there are new ones. */
export function showEvents(events: readonly ProxyEvent[]): void {
  const newest = events[0]?.number ?? 0;
  if (newest === shown) return;
  shown = newest;
  byId("events").replaceChildren(
    events.length === 0
      ? element("p", { class: "empty" }, "Nothing has happened yet.")
      : element("ol", { tabindex: "0", "aria-label": "Events, the newest first" }, ...events.map(lineOf)),
  );
}

function lineOf({ at, kind, severity, text }: ProxyEvent): HTMLElement {
  const time = element("time", { datetime: at, title: at }, new Date(at).toTimeString().slice(0, 8));
  return element("li", {}, time, element("span", {}, tag(kind, tones[severity])), element("span", {}, text));
}
