/** Time that a long task may take before other work gets its turn. */
const SLICE_MS = 4;

/** Divides a long task on the main thread into slices, between which other work runs. */
export class TimeSlice {
  #started = performance.now();

  get isOver(): boolean {
    return performance.now() - this.#started > SLICE_MS;
  }

  /** Lets other work run, and begins the next slice. */
  async next(): Promise<void> {
    await new Promise((resolve) => setTimeout(resolve, 0));
    this.#started = performance.now();
  }
}
