import { NLM_F_REQUEST } from "../../ffi/netlink/constants.ts";
import type { MessageWriter } from "../../ffi/netlink/writer.ts";
import {
  nfgenmsg,
  NFNL_MSG_BATCH_BEGIN,
  NFNL_MSG_BATCH_END,
  NFNL_SUBSYS_NFTABLES,
  NFPROTO_UNSPEC,
} from "../../ffi/netlink/nfnetlink.ts";

/**
 * Writes one nf_tables batch: changes that the kernel makes all at once or not at all, when they come in one
 * datagram. Order counts within it: what is named must exist by then. Each mode adds the changes it makes.
 */
export class Batch {
  protected readonly message: MessageWriter;
  readonly #firstSeq: number;
  #count = 0;

  constructor(message: MessageWriter, firstSeq: number) {
    this.message = message;
    this.#firstSeq = firstSeq;
    message.reset();
    this.#limit(NFNL_MSG_BATCH_BEGIN);
  }

  /** Messages so far, with the one that begins the batch. */
  get count(): number {
    return this.#count;
  }

  /** Written so far. */
  get bytes(): number {
    return this.message.length;
  }

  /** Nothing was written but the beginning. */
  get isEmpty(): boolean {
    return this.#count === 1;
  }

  /** The complete batch; nothing can be added any more. */
  end(): Uint8Array<ArrayBuffer> {
    this.#limit(NFNL_MSG_BATCH_END);
    return this.message.bytes();
  }

  protected write(
    nfproto: number,
    type: number,
    flags: number,
    body: (message: MessageWriter) => void,
  ): void {
    this.message.begin(
      NFNL_SUBSYS_NFTABLES << 8 | type,
      NLM_F_REQUEST | flags,
      this.#firstSeq + this.#count++,
    );
    nfgenmsg(this.message, nfproto, 0);
    body(this.message);
    this.message.end();
  }

  #limit(type: number): void {
    this.message.begin(type, NLM_F_REQUEST, this.#firstSeq + this.#count++);
    nfgenmsg(this.message, NFPROTO_UNSPEC, NFNL_SUBSYS_NFTABLES);
    this.message.end();
  }
}
