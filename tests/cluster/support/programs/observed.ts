import type { Cluster } from "../cluster.ts";
import { describePlace, type Place } from "../places.ts";
import { type Answer, ask, urlsOf } from "./web.ts";

/** A question and the answer to it, in the form "web/client-1 → http://10.96.0.20:80: web-1 sees 10.244.1.5". */
export type Observation = string;

export interface Question {
  readonly from: Place;
  readonly to: string;
  readonly expected: Answer;
}

/** Questions to a port, by TCP and by UDP. */
export function both(from: Place, address: string, port: number, expected: Answer): Question[] {
  return urlsOf(address, port).map((to) => ({ from, to, expected }));
}

/**
 * Asks all questions at the same time, and returns the observations that differ from what is expected. A question without an answer is repeated once, because packets can be late on a busy machine.
 */
export async function unexpected(cluster: Cluster, questions: readonly Question[]): Promise<Observation[]> {
  const wrong = await wrongAnswers(cluster, questions);
  return (await wrongAnswers(cluster, wrong.map(({ question }) => question))).map(({ question, answer }) =>
    `${describePlace(question.from)} → ${question.to}: ${answer}, expected: ${question.expected}`
  );
}

async function wrongAnswers(cluster: Cluster, questions: readonly Question[]) {
  const groups = [...Map.groupBy(questions, ({ from }) => describePlace(from)).values()];
  const wrong = await Promise.all(groups.map(async (asked) => {
    const answers = await ask(cluster, asked[0]!.from, asked.map(({ to }) => to));
    return asked.map((question, index) => ({ question, answer: answers[index]! }));
  }));
  return wrong.flat().filter(({ question, answer }) => answer !== question.expected);
}
