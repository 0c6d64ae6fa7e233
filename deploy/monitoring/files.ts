import { parse, stringify } from "yaml";
import { dashboard } from "./dashboard/dashboard.ts";

const directory = new URL("./", import.meta.url).pathname;

/** The files of deploy/monitoring that are made from others, by name. */
export function generatedFiles(): ReadonlyMap<string, string> {
  return new Map([
    ["dashboard.json", `${JSON.stringify(dashboard(), null, 2)}\n`],
    ["prometheus-rule.yaml", prometheusRule(Deno.readTextFileSync(`${directory}alerts.yaml`))],
  ]);
}

/** Makes the object that the Prometheus operator reads from a rule file. */
function prometheusRule(rules: string): string {
  const object = {
    apiVersion: "monitoring.coreos.com/v1",
    kind: "PrometheusRule",
    metadata: { name: "proxy", labels: { "app.kubernetes.io/name": "proxy" } },
    spec: parse(rules),
  };
  return `# Made from alerts.yaml by \`deno task monitoring\`.\n${stringify(object, { lineWidth: 110 })}`;
}

/** Writes them. */
export function writeGeneratedFiles(): void {
  for (const [name, text] of generatedFiles()) Deno.writeTextFileSync(directory + name, text);
}
