import { yieldToEventLoop } from "./yield.ts";

/** Time of a turn, in milliseconds: shorter than what a change of a service takes. */
const TURN_MS = 1;

/** Divides long work into turns, between which other work of the process runs. */
export class Turns {
  #endsAt = performance.now() + TURN_MS;

  /** True when other work is to run. */
  get isOver(): boolean {
    return performance.now() >= this.#endsAt;
  }

  /** Lets other work run, and begins a turn. */
  async next(): Promise<void> {
    await yieldToEventLoop();
    this.#endsAt = performance.now() + TURN_MS;
  }
}

/** Works on each of many items, in turns. */
export async function eachInTurns<Item>(
  items: Iterable<Item>,
  work: (item: Item) => void,
  turns: Turns = new Turns(),
): Promise<void> {
  for (const item of items) {
    work(item);
    if (turns.isOver) await turns.next();
  }
}
