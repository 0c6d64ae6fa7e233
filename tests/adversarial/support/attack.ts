import type { Arena } from "./arena.ts";
import type { Figure } from "./figure.ts";

/** An attack on a node. It runs once in every mode, each time in an arena without flows. */
export interface Attack {
  /** Description for the name of the test and for docs/adversarial.md. */
  readonly name: string;
  /** True for an attack that occupies the machine for long, or measures a rate. It runs only in the long form. */
  readonly isLong?: boolean;
  /** Reason why mode ebpf does not withstand it, as a sentence for docs/adversarial.md. */
  readonly weakness?: string;
  run(arena: Arena): Promise<readonly Figure[]>;
}
