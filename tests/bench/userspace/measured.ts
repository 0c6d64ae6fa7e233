import { type Figure, median } from "../report.ts";

/**
 * "bulk": few connections with much data. "short": many connections, one after the other, that exchange a byte. "idle":
 * many connections at a time.
 */
export type Load = "bulk" | "short" | "idle";

/** A way from the client to the servers. */
export interface Subject {
  readonly name: "direct" | "HAProxy" | "proxy";
  /** The address and port that the client connects to. */
  readonly target: (load: Load) => readonly [address: string, port: string];
}

/** Results of some rounds. */
export class Measured {
  constructor(private readonly results: ReadonlyMap<Subject, readonly number[]>) {}

  median(subject: Subject): number {
    return median(this.results.get(subject) ?? []);
  }

  /** The median of each subject, with the results of all rounds. */
  figures(show: (value: number) => string): readonly Figure[] {
    return [...this.results].map(([{ name }, samples]) => ({
      name,
      value: `${show(median(samples))} (${samples.map(show).join(", ")})`,
    }));
  }
}
