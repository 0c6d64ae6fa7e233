/**
 * Shares the result of an expensive question among all who ask within `keptMs`, so that many readers cost as much as one.
 * Keeps nothing when nobody asks.
 */
export class Shared<T> {
  readonly #ask: () => Promise<T>;
  readonly #keptMs: number;
  #answer: Promise<T> | undefined;

  constructor(ask: () => Promise<T>, keptMs: number) {
    this.#ask = ask;
    this.#keptMs = keptMs;
  }

  get(): Promise<T> {
    if (this.#answer !== undefined) return this.#answer;
    const answer = this.#ask();
    this.#answer = answer;
    const forget = () => this.#answer = undefined;
    const forgetLater = () => {
      if (this.#keptMs > 0) Deno.unrefTimer(setTimeout(forget, this.#keptMs));
      else forget();
    };
    answer.then(forgetLater, forgetLater);
    return answer;
  }
}
