import assert from "node:assert/strict";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { TableReader, TransactionWatch } from "../../../backends/nf_tables/watch.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NFNLGRP_NFTABLES, NFPROTO_IPV4 } from "../../../ffi/netlink/nfnetlink.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { nftType } from "./fake_kernel.ts";

Deno.test("missed notifications are reported like a foreign change, our own transactions are not", async () => {
  const reports: string[] = [];
  const kernel = new WaitingTransport();
  using watch = new TransactionWatch(kernel, 7, new TableReader("kube-proxy"), (what) => reports.push(what));
  watch.resume();
  assert.deepEqual([...kernel.groups], [NFNLGRP_NFTABLES]);
  for (const pid of [7, 8]) {
    kernel.deliver(
      notification(nft.NFT_MSG_DELTABLE, pid, "kube-proxy"),
      notification(nft.NFT_MSG_NEWGEN, pid),
    );
  }
  kernel.deliver(notification(nft.NFT_MSG_DELTABLE, 9, "other"), notification(nft.NFT_MSG_NEWGEN, 9));
  await kernel.wake();
  assert.deepEqual(reports, ["table ip kube-proxy deleted by another process (pid 0)"]);

  kernel.deliver(new KernelError("receive", errnoOf("ENOBUFS")));
  await kernel.wake();
  assert.match(reports[1] ?? "", /^missed notifications about nf_tables \(ENOBUFS\)/);
});

/** `readable` waits like that of a socket. */
class WaitingTransport extends FakeTransport {
  #waiting = Promise.withResolvers<boolean>();
  #whenWaiting = Promise.withResolvers<void>();

  override readable(): Promise<boolean> {
    this.#whenWaiting.resolve();
    return this.#waiting.promise;
  }

  /** Lets the reader read. Resolves when it waits again. */
  async wake(): Promise<void> {
    const { resolve } = this.#waiting;
    this.#waiting = Promise.withResolvers<boolean>();
    this.#whenWaiting = Promise.withResolvers<void>();
    resolve(true);
    await this.#whenWaiting.promise;
  }

  override [Symbol.dispose](): void {
    super[Symbol.dispose]();
    this.#waiting.resolve(false);
  }
}

function notification(type: number, pid: number, table?: string): Uint8Array<ArrayBuffer> {
  const message = new MessageWriter(64);
  message.begin(nftType(type), 0, 0);
  message.rawU8(NFPROTO_IPV4);
  message.rawU8(0);
  message.rawU16be(0);
  if (table !== undefined) message.attrString(nft.NFTA_TABLE_NAME, table);
  message.end();
  const bytes = message.bytes().slice();
  new DataView(bytes.buffer).setUint32(12, pid, true);
  return bytes;
}
