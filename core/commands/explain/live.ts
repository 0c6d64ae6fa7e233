import { Mutex } from "../../async/mutex.ts";
import type { ModeTraits } from "../../backend/mode.ts";
import { addressesOfClient, parseClient } from "../../explain/asked_client.ts";
import { explain, familiesOf, problemsFirst, servicesOf } from "../../explain/explain.ts";
import type { Explanation, Finding } from "../../explain/explanation.ts";
import { kernelFindings } from "../../explain/node_findings.ts";
import { type NoQuestion, parseQuestion } from "../../explain/question.ts";
import type { Address } from "../../net/address.ts";
import { readKernelFacts } from "../../node/kernel_facts.ts";
import { rejectionsOf } from "../../observe/status/in_force.ts";
import type { InvalidObjects } from "../../observe/status/invalid_objects.ts";
import type { KnownServices } from "../../observe/status/services.ts";
import { Shared } from "../../observe/status/shared.ts";
import type { Status } from "../../observe/status/status.ts";
import { type IndexedPlans, indexInForce, liveKnowledge } from "./knowledge.ts";
import { rejectionFindings, statusFindings } from "./running.ts";

const UNKNOWN_POD =
  "the running proxy does not know the names of pods: give the address of the pod, or NAMESPACE/SERVICE for one " +
  "of the pods of a service, or ask proxy explain";

/** The index of 10,000 Services takes 5 MB, and making it for every question keeps the garbage collector busy. */
const SHARED_MS = 1000;

/** Answers questions in the running process, one at a time and in turns, so that other work goes on. */
export class LiveExplainer {
  readonly #services: KnownServices;
  readonly #addresses: () => readonly Address[];
  readonly #mode: Pick<ModeTraits, "limitationsOf" | "relays">;
  readonly #invalidObjects: Pick<InvalidObjects, "reasonOf">;
  readonly #turns = new Mutex();
  readonly #inForce: Shared<IndexedPlans>;

  /**
   * @param addresses returns those of the interfaces of this node.
   * @param sharedMs time that questions share one look at what is in force.
   */
  constructor(
    services: KnownServices,
    addresses: () => readonly Address[],
    mode: Pick<ModeTraits, "limitationsOf" | "relays">,
    invalidObjects: Pick<InvalidObjects, "reasonOf">,
    sharedMs = SHARED_MS,
  ) {
    this.#services = services;
    this.#addresses = addresses;
    this.#mode = mode;
    this.#invalidObjects = invalidObjects;
    this.#inForce = new Shared(() => indexInForce(services), sharedMs);
  }

  /**
   * @param text a question, as `proxy explain` takes it.
   * @param from a client, as `--from` of `proxy explain` takes it; "" for every kind of client.
   */
  async answer(text: string, from: string, status: Status): Promise<Explanation | NoQuestion> {
    const question = parseQuestion(text);
    if ("problem" in question) return question;
    const asked = parseClient(from, question);
    if ("problem" in asked) return { problem: `from: ${asked.problem}` };
    if (asked.is === "pod") return { problem: `from: ${UNKNOWN_POD}` };
    return await this.#turns.run(async () => {
      const knowledge = liveKnowledge(
        this.#services,
        await this.#inForce.get(),
        this.#addresses(),
        this.#mode,
        this.#invalidObjects,
      );
      const client = addressesOfClient(asked, question, knowledge);
      if (client !== undefined && "problem" in client) return { problem: `from: ${client.problem}` };
      const explanation = await explain(knowledge, question, client);
      const findings = [
        ...explanation.findings,
        ...await this.#rejections(servicesOf(explanation, question)),
        ...statusFindings(status),
        ...kernelFindings(await readKernelFacts(), familiesOf(explanation, question)),
      ];
      return { ...explanation, findings: problemsFirst(findings) };
    });
  }

  async #rejections(services: readonly string[]): Promise<readonly Finding[]> {
    const findings: Finding[] = [];
    for (const service of services) {
      const { rejections } = await rejectionsOf(this.#services, service, Date.now());
      findings.push(...rejectionFindings(rejections));
    }
    return findings;
  }
}
