import type { Explanation, Finding, Verdict, Walk } from "../core/explain/explanation.ts";
import { api, Refused } from "./api.ts";
import { byId, element, tag, type Tone } from "./dom.ts";

const tones: Readonly<Record<Verdict, Tone>> = {
  balanced: "good",
  rejected: "bad",
  dropped: "bad",
  passed: "quiet",
};

/** Number of the last question, so that a late answer to an earlier one is not shown. */
let asked = 0;

/** Answers the questions of the form. */
export function listenToQuestions(): void {
  byId("explain-form").addEventListener("submit", (event) => {
    event.preventDefault();
    void answer(
      byId<HTMLInputElement>("question").value.trim(),
      byId<HTMLInputElement>("client").value.trim(),
    );
  });
}

/** Asks about a service that is open. */
export function ask(question: string): void {
  byId<HTMLInputElement>("question").value = question;
  byId("explain").scrollIntoView({ block: "nearest" });
  void answer(question, byId<HTMLInputElement>("client").value.trim());
}

async function answer(question: string, from: string): Promise<void> {
  if (question === "") return;
  const number = ++asked;
  const place = byId("answer");
  place.setAttribute("aria-busy", "true");
  let shown: HTMLElement[];
  try {
    shown = shownAs(await api.explain(question, from));
  } catch (error) {
    const reason = error instanceof Error ? error.message : String(error);
    shown = [element("p", { class: "empty" }, error instanceof Refused ? reason : `No answer: ${reason}`)];
  }
  if (number !== asked) return;
  place.replaceChildren(...shown);
  place.removeAttribute("aria-busy");
}

function shownAs({ subject, servicePorts, moreServicePorts, walks, findings }: Explanation): HTMLElement[] {
  const rows = servicePorts.flatMap(({ frontends }) =>
    frontends.flatMap(({ frontend, kind, outcomes }) =>
      outcomes.map(({ clients, verdict, outcome }) =>
        element(
          "li",
          {},
          element("span", {}, `${frontend} (${kind})`),
          element("span", {}, outcomes.length === 1 ? "everyone" : clients.join(", ")),
          tag(outcome, tones[verdict]),
        )
      )
    )
  );
  const moreFrontends = servicePorts.reduce((sum, port) => sum + port.moreFrontends, 0);
  const left = [
    ...moreServicePorts > 0 ? [`${moreServicePorts} service ports`] : [],
    ...moreFrontends > 0 ? [`${moreFrontends} frontends`] : [],
  ];
  return [
    element("h3", {}, subject),
    ...rows.length === 0 ? [] : [element("ul", { class: "outcomes" }, ...rows)],
    ...left.length === 0 ? [] : [element("p", { class: "empty" }, `and ${left.join(", ")} more`)],
    ...walks.map(walkOf),
    ...findings.some(({ severity }) => severity === "problem")
      ? []
      : [element("p", {}, tag("No problem was found.", "good"))],
    ...findings.map(findingOf),
  ];
}

function walkOf({ from, to, steps, verdict, outcome }: Walk): HTMLElement {
  return element(
    "details",
    {},
    element("summary", {}, `From ${from} to ${to}: `, tag(outcome, tones[verdict])),
    element("ol", { class: "steps" }, ...steps.map((step) => element("li", {}, step))),
  );
}

function findingOf({ severity, about, text, advice }: Finding): HTMLElement {
  const label = severity === "problem" ? tag("problem", "bad") : tag("notice", "warn");
  const remedy = advice === "" ? [] : [element("span", { class: "remedy" }, advice)];
  return element("p", { class: "finding" }, label, element("span", {}, `${about}: ${text}`), ...remedy);
}
