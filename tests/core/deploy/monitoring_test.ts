import assert from "node:assert/strict";
import * as units from "@grafana/grafana-foundation-sdk/units";
import { parse } from "yaml";
import { generatedFiles } from "../../../deploy/monitoring/files.ts";

const root = new URL("../../../", import.meta.url).pathname;
const read = (path: string) => Deno.readTextFileSync(root + path);

interface Rule {
  readonly alert: string;
  readonly labels: { readonly severity: string };
  readonly annotations: Readonly<Record<string, string>>;
}

interface PanelModel {
  readonly id: number;
  readonly type: string;
  readonly title: string;
  readonly description?: string;
  readonly gridPos: { readonly x: number; readonly y: number; readonly w: number; readonly h: number };
  readonly fieldConfig?: { readonly defaults: { readonly unit: string } };
  readonly targets?: readonly { readonly expr: string; readonly legendFormat: string }[];
}

const dashboard = JSON.parse(read("deploy/monitoring/dashboard.json"));
const panels: readonly PanelModel[] = dashboard.panels;
const rules: readonly Rule[] = parse(read("deploy/monitoring/alerts.yaml")).groups[0].rules;

Deno.test("the files of deploy/monitoring are current: deno task monitoring", () => {
  for (const [name, text] of generatedFiles()) {
    assert.equal(read(`deploy/monitoring/${name}`), text, `run deno task monitoring: ${name} differs`);
  }
});

Deno.test("each alert has a severity, a summary and a section of docs/runbooks.md, and each section an alert", () => {
  const sections = [...read("docs/runbooks.md").matchAll(/^## (.+)$/gm)].map(([, title]) => title);
  assert.deepEqual(sections, rules.map(({ alert }) => alert));
  for (const { alert, labels, annotations } of rules) {
    assert.match(labels.severity, /^(critical|warning|info)$/, alert);
    assert(annotations["summary"] && annotations["description"], alert);
    assert.equal(annotations["runbook_url"], `docs/runbooks.md#${alert.toLowerCase()}`);
  }
});

Deno.test("each panel has its own title, a description, a unit that Grafana knows, and series with names", () => {
  const known = new Set<unknown>(Object.values(units));
  const plotted = panels.filter(({ type }) => type !== "row");
  assert.equal(new Set(panels.map(({ id }) => id)).size, panels.length);
  for (const { title, description, fieldConfig, targets } of plotted) {
    assert.match(description ?? "", /\.$/, title);
    assert(known.has(fieldConfig?.defaults.unit), `${title}: unit ${fieldConfig?.defaults.unit}`);
    assert(targets !== undefined && targets.length > 0, title);
    for (const { expr, legendFormat } of targets) {
      assert.notEqual(legendFormat, "", title);
      assert.match(expr, /job="\$job", instance=~"\$instance"/, title);
      // A legend names labels that the query keeps.
      const grouping = /^sum by \(([^)]*)\)/.exec(expr)?.[1];
      if (grouping === undefined) continue;
      for (const [, label = ""] of legendFormat.matchAll(/\{\{(\w+)\}\}/g)) {
        assert(grouping.split(", ").includes(label), `${title}: ${label}`);
      }
    }
  }
});

Deno.test("panels lie in 24 columns and do not overlap", () => {
  const taken = new Map<string, string>();
  for (const { title, gridPos: { x, y, w, h } } of panels) {
    assert(x + w <= 24, title);
    for (let column = x; column < x + w; column++) {
      for (let line = y; line < y + h; line++) {
        const other = taken.get(`${column} ${line}`);
        assert.equal(other, undefined, `${title} overlaps ${other}`);
        taken.set(`${column} ${line}`, title);
      }
    }
  }
});
