import assert from "node:assert/strict";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { NftablesBackend } from "../../../backends/nftables/backend.ts";
import { BackendError, type Transaction } from "../../../core/backend/contract.ts";
import { NFNL_MSG_BATCH_BEGIN, NFPROTO_IPV4, NFPROTO_IPV6 } from "../../../ffi/netlink/nfnetlink.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { emptyKernel, isBatch, nftType } from "../nf_tables/fake_kernel.ts";
import { desiredOf, planOf } from "../plans.ts";

const web = planOf({ clusterIP: "10.96.0.10:80" });
const more = planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });

Deno.test("every call that changes something sends one datagram with one batch for both families", async () => {
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

Deno.test("equal plans send nothing", async () => {
  const kernel = new FakeTransport(emptyKernel());
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web]));
  const sent = kernel.sent.length;
  await backend.apply([{ key: web.key, old: web, new: { ...web } }]);
  assert.equal(kernel.sent.length, sent);
});

Deno.test("sequence numbers continue across batches, so that a late error is never attributed to another batch", async () => {
  const kernel = new FakeTransport(emptyKernel());
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web]));
  await backend.apply([{ key: web.key, old: web, new: more }]);
  const seqs = kernel.sent.flatMap((datagram) => [...messages(datagram)].map(({ seq }) => seq));
  assert.deepEqual(seqs, [...seqs.keys()].map((index) => index + 1));
});

Deno.test("the error on a kernel without nf_tables names the cause", async () => {
  const kernel = new FakeTransport(
    emptyKernel(({ type }) => type === NFNL_MSG_BATCH_BEGIN ? "EOPNOTSUPP" : undefined),
  );
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  await assert.rejects(
    backend.reconcile(desiredOf([web])),
    (error) =>
      error instanceof BackendError &&
      /EOPNOTSUPP.*Most likely the kernel lacks a feature/.test(error.message),
  );
});

Deno.test("readings of the counters share a socket, because closing one holds up transactions", async () => {
  const opened: FakeTransport[] = [];
  const backend = new NftablesBackend(() => {
    const kernel = new FakeTransport(emptyKernel());
    opened.push(kernel);
    return kernel;
  });
  const { settings, plans } = desiredOf([web]);
  await backend.reconcile({
    settings: settings.map((one) => ({ ...one, trafficMetrics: "connections" })),
    plans,
  });
  const before = opened.length;
  for (let i = 0; i < 3; i++) await backend.traffic(plans);
  assert.equal(opened.length, before + 1);
  assert.ok(opened.every(({ closed }) => !closed));
});

Deno.test("transactions are reported with their size, their time and their result", async () => {
  const reported: Transaction[] = [];
  let isRejecting = false;
  const kernel = new FakeTransport(
    emptyKernel(({ type }) => isRejecting && type === nftType(nft.NFT_MSG_NEWSETELEM) ? "ENOMEM" : undefined),
  );
  const backend = withBackendErrors(new NftablesBackend(() => kernel));
  backend.observeTransactions?.({ transactionEnded: (transaction) => reported.push(transaction) });
  await backend.reconcile(desiredOf([web]));
  isRejecting = true;
  await assert.rejects(backend.apply([{ key: web.key, old: web, new: more }]));
  assert.deepEqual(reported.map(({ committed }) => committed), [true, false]);
  assert.deepEqual(
    reported.map(({ bytes }) => bytes),
    kernel.sent.filter(isBatch).map(({ length }) => length),
  );
  assert.ok(reported.every(({ seconds }) => seconds > 0));
});
