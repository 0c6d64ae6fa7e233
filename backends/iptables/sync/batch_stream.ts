import { RuleBatch } from "./batch.ts";
import { RuleCounts } from "../rule_counts.ts";

/**
 * When a batch has so many bytes it may be sent, and another be written while the kernel takes it: it needs twice as
 * long for a batch as we do.
 */
const PART_BYTES = 8 * 1024 * 1024;
/** More than the rules of one service port with a thousand endpoints. */
const SLACK_BYTES = 1024 * 1024;

/** What is written in one go, in one transaction, or in several where the writer says that this cannot be seen. */
export class BatchStream implements AsyncDisposable {
  readonly #begin: (bytes: number) => RuleBatch;
  readonly #commit: (batch: RuleBatch) => Promise<void>;
  #underWay: Promise<void> = Promise.resolve();
  #batch: RuleBatch;
  /** Rules written in all of them, by family. */
  readonly written = { IPv4: new RuleCounts(), IPv6: new RuleCounts() };

  /** @param commit has the kernel take a batch; it rejects when the kernel refuses. */
  constructor(begin: (bytes: number) => RuleBatch, commit: (batch: RuleBatch) => Promise<void>) {
    this.#begin = begin;
    this.#commit = commit;
    this.#batch = begin(PART_BYTES + SLACK_BYTES);
  }

  /** Where the next change is to be written. */
  get batch(): RuleBatch {
    return this.#batch;
  }

  /**
   * Here what was written so far may be in force without what follows.
   * @throws what the kernel refused of a part before.
   */
  async part(): Promise<void> {
    if (this.#batch.bytes < PART_BYTES) return;
    await this.#underWay;
    this.#send();
    this.#batch = this.#begin(PART_BYTES + SLACK_BYTES);
  }

  /** Sends the rest. */
  async end(): Promise<void> {
    await this.#underWay;
    this.#send();
    await this.#underWay;
  }

  /** Whatever ended the writing: the socket is free for others only when the kernel has answered. */
  async [Symbol.asyncDispose](): Promise<void> {
    await this.#underWay.catch(() => {});
  }

  #send(): void {
    this.written.IPv4.addAll(this.#batch.written.IPv4);
    this.written.IPv6.addAll(this.#batch.written.IPv6);
    this.#underWay = this.#commit(this.#batch);
    // It is awaited later, and must not end the process until then.
    this.#underWay.catch(() => {});
  }
}
