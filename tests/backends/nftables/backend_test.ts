import assert from "node:assert/strict";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { TableReader, TransactionWatch } from "../../../backends/nf_tables/watch.ts";
import { NftablesBackend } from "../../../backends/nftables/backend.ts";
import { BackendError } from "../../../core/backend/contract.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import {
  NFNL_MSG_BATCH_BEGIN,
  NFNLGRP_NFTABLES,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from "../../../ffi/netlink/nfnetlink.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/fake_transport.ts";
import { emptyKernel, isBatch, nftType } from "../nf_tables/fake_kernel.ts";
import { desiredOf, planOf } from "../plans.ts";

const web = planOf({ clusterIP: "10.96.0.10:80" });
const more = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });

Deno.test("every call that changes something is one datagram with one batch, both families in it", async () => {
  const kernel = new FakeTransport(emptyKernel());
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await backend.reconcile(
    desiredOf([web, planOf({ clusterIP: "[fd00:96::1]:80", endpoints: ["[fd00::1]:80"] })]),
  );
  await backend.apply([{ key: web.key, old: web, new: more }]);
  const batches = kernel.sent.filter(isBatch);
  assert.equal(batches.length, 2);
  const [created = new Uint8Array()] = batches;
  const tables = [...messages(created)].filter(({ type }) => type === nftType(nft.NFT_MSG_NEWTABLE));
  assert.deepEqual(tables.map(({ payload }) => payload[0]), [NFPROTO_IPV4, NFPROTO_IPV6]);
});

Deno.test("changes without a difference send nothing", async () => {
  const kernel = new FakeTransport(emptyKernel());
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web]));
  const sent = kernel.sent.length;
  await backend.apply([{ key: web.key, old: web, new: { ...web } }]);
  assert.equal(kernel.sent.length, sent);
});

Deno.test("message numbers go on from batch to batch, so that a late error is never taken for another's", async () => {
  const kernel = new FakeTransport(emptyKernel());
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web]));
  await backend.apply([{ key: web.key, old: web, new: more }]);
  const seqs = kernel.sent.flatMap((datagram) => [...messages(datagram)].map(({ seq }) => seq));
  assert.deepEqual(seqs, [...seqs.keys()].map((index) => index + 1));
});

Deno.test("a kernel without nf_tables is named as the reason", async () => {
  const kernel = new FakeTransport(
    emptyKernel(({ type }) => type === NFNL_MSG_BATCH_BEGIN ? "EOPNOTSUPP" : undefined),
  );
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await assert.rejects(
    backend.reconcile(desiredOf([web])),
    (error) => error instanceof BackendError && /EOPNOTSUPP.*The kernel lacks a feature/.test(error.message),
  );
});

Deno.test("lost notifications count as a foreign change, own transactions do not", async () => {
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
  assert.match(reports[1] ?? "", /^notifications of nf_tables were lost/);
});

/** `readable` waits, as a socket's does. */
class WaitingTransport extends FakeTransport {
  #waiting = Promise.withResolvers<boolean>();

  override readable(): Promise<boolean> {
    return this.#waiting.promise;
  }

  /** Lets the reader read; resolves when it waits again. */
  async wake(): Promise<void> {
    const { resolve } = this.#waiting;
    this.#waiting = Promise.withResolvers<boolean>();
    resolve(true);
    await new Promise((done) => setTimeout(done));
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
