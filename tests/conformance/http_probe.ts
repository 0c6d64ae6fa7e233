import type { Family } from "../../core/net/protocol.ts";
import type { HttpAnswer, Target, Unanswered } from "../lab/agent.ts";
import type { Lab } from "../lab/lab.ts";
import type { MachineName } from "../lab/topology.ts";
import type { ExpectSpec } from "./scenario.ts";

type HttpSpec = NonNullable<ExpectSpec["http"]>;

/** Health-check node ports follow a change some time after the rules do. */
const FOLLOWS_WITHIN_MS = 3000;

/**
 * Asks a health-check node port until it answers as expected, to the byte.
 * @throws Error with what it answered last
 */
export async function expectHttp(
  lab: Lab,
  from: MachineName,
  family: Family,
  target: Target,
  spec: HttpSpec,
): Promise<void> {
  const until = Date.now() + FOLLOWS_WITHIN_MS;
  for (;;) {
    const seen = shown(await lab.agent(from).http(target));
    const expected = spec === "closed" ? "refused" : answerOf(spec);
    if (seen === expected) return;
    if (Date.now() > until) {
      const where = `${from} to ${target.to} port ${target.port} (${family})`;
      throw new Error(`${where}: expected\n${expected}\nseen:\n${seen}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The headers that mean something; the others are those of the HTTP library. */
const headers = [
  "content-type",
  "content-encoding",
  "x-content-type-options",
  "x-load-balancing-endpoint-weight",
];

function shown(answer: HttpAnswer | Unanswered): string {
  if (!("status" in answer)) return answer.outcome;
  const meant = headers.flatMap((name) => {
    const value = answer.headers[name];
    return value === undefined ? [] : [`${name}: ${value}`];
  });
  return [answer.status, ...meant, answer.body].join("\n");
}

function answerOf({ status, localEndpoints, of }: Exclude<HttpSpec, "closed">): string {
  return `${status}
content-type: application/json
x-content-type-options: nosniff
x-load-balancing-endpoint-weight: ${localEndpoints}
{
\t"service": {
\t\t"namespace": "default",
\t\t"name": "${of}"
\t},
\t"localEndpoints": ${localEndpoints},
\t"serviceProxyHealthy": true
}`;
}
