import { Mutex } from "../core/async/mutex.ts";
import type { NetlinkClient } from "../ffi/netlink/client.ts";

/**
 * A netlink client for work that recurs. It is opened for the first work and kept open, because closing a socket of
 * NETLINK_NETFILTER holds up the transactions of nf_tables: the kernel takes the commit mutex, and waits with it until
 * the objects that earlier transactions removed are freed, which takes an RCU grace period (`nft_rcv_nl_event`,
 * docs/nftables-notes.md).
 */
export class KeptClient implements Disposable {
  readonly #open: () => NetlinkClient;
  readonly #mutex = new Mutex();
  #client: NetlinkClient | undefined;

  constructor(open: () => NetlinkClient) {
    this.#open = open;
  }

  /**
   * Runs work once all earlier work has ended.
   * @throws what the work throws. The next work then gets a new client, because the answer may not have been read to
   * its end.
   */
  use<Result>(work: (client: NetlinkClient) => Promise<Result>): Promise<Result> {
    return this.#mutex.run(async () => {
      this.#client ??= this.#open();
      try {
        return await work(this.#client);
      } catch (error) {
        this.#close();
        throw error;
      }
    });
  }

  /** Closes the client once all work has ended. */
  [Symbol.dispose](): void {
    this.#mutex.run(() => Promise.resolve(this.#close()));
  }

  #close(): void {
    this.#client?.[Symbol.dispose]();
    this.#client = undefined;
  }
}
