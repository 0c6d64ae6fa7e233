import type { Family } from "../../../core/net/protocol.ts";
import type { HttpAnswer, Target, Unanswered } from "../../lab/agent.ts";
import type { Lab } from "../../lab/lab.ts";
import type { MachineName } from "../../lab/topology.ts";
import type { ExpectSpec } from "../format/scenario.ts";

type HttpSpec = NonNullable<ExpectSpec["http"]>;

/** Time limit for a health-check node port to follow a change; it does so some time after the rules. */
const FOLLOWS_WITHIN_MS = 3000;

/**
 * Requests a health-check node port until the answer is as expected, byte by byte.
 * @throws with the last answer.
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
    const seen = format(await lab.agent(from).http(target));
    const expected = spec === "closed" ? "refused" : expectedAnswer(spec);
    if (seen === expected) return;
    if (Date.now() > until) {
      const where = `${from} to ${target.to} port ${target.port} (${family})`;
      throw new Error(`${where}: expected\n${expected}\nseen:\n${seen}`);
    }
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** Headers that are compared; the others come from the HTTP library. */
const comparedHeaders = [
  "content-type",
  "content-encoding",
  "x-content-type-options",
  "x-load-balancing-endpoint-weight",
];

function format(answer: HttpAnswer | Unanswered): string {
  if (!("status" in answer)) return answer.outcome;
  const headers = comparedHeaders.flatMap((name) => {
    const value = answer.headers[name];
    return value === undefined ? [] : [`${name}: ${value}`];
  });
  return [answer.status, ...headers, answer.body].join("\n");
}

function expectedAnswer({ status, localEndpoints, of }: Exclude<HttpSpec, "closed">): string {
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
