import type { InForce } from "../../backend/contract.ts";
import type { ModeTraits } from "../../backend/mode.ts";
import type { Log } from "../../observe/log.ts";
import type { Limitation } from "../../plan/limitation.ts";
import { type PlanKey, printedName } from "../../plan/plan.ts";
import type { ServiceWarning } from "../../source.ts";

/** Reports once what the mode does not serve of a service port: in the log, and to the owner of the Service. */
export class LimitationReports {
  readonly #limitationsOf: NonNullable<ModeTraits["limitationsOf"]>;
  readonly #log: Pick<Log, "warn">;
  readonly #warn: (warning: ServiceWarning) => void;
  /** The last reports about each service port. */
  readonly #reported = new Map<PlanKey, readonly string[]>();

  constructor(
    { limitationsOf = () => [] }: Pick<ModeTraits, "limitationsOf">,
    log: Pick<Log, "warn">,
    warn: (warning: ServiceWarning) => void,
  ) {
    this.#limitationsOf = limitationsOf;
    this.#log = log;
    this.#warn = warn;
  }

  /** Reports limitations of the changed service ports. */
  synced({ changes }: Pick<InForce, "changes">): void {
    for (const { key, new: plan } of changes) {
      const limitations = plan === undefined ? [] : this.#limitationsOf(plan);
      if (plan !== undefined) {
        const before = this.#reported.get(key) ?? [];
        for (const limitation of limitations) {
          if (!before.includes(limitation.text)) this.#report(plan, limitation);
        }
      }
      if (limitations.length === 0) this.#reported.delete(key);
      else this.#reported.set(key, limitations.map(({ text }) => text));
    }
  }

  #report(plan: NonNullable<InForce["changes"][number]["new"]>, { text, advice }: Limitation): void {
    const servicePort = printedName(plan);
    this.#log.warn("The mode does not serve all of a service port", { servicePort, problem: text, advice });
    const { namespace, name } = plan;
    const note = `service port ${servicePort}: ${text}. ${advice}`;
    this.#warn({ namespace, name, reason: "NotServedByMode", action: "ProgramService", note });
  }
}
