import assert from "node:assert/strict";
import { BackendError } from "../../../core/backend/contract.ts";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import { IptablesBackend } from "../../../backends/iptables/backend.ts";
import { endpointChain, serviceChain } from "./support/chain_names.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { attribute, messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import {
  NFGENMSG_BYTES,
  NFNL_MSG_BATCH_BEGIN,
  NFPROTO_IPV4,
  NFPROTO_IPV6,
} from "../../../ffi/netlink/nfnetlink.ts";
import { emptyKernel, isBatch, nftType } from "../nf_tables/fake_kernel.ts";
import { desiredOf, planOf } from "../plans.ts";

const web = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80"] });
const more = planOf({ name: "web", clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:80", "10.1.0.2:80"] });
const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });
const web6 = planOf({ name: "web", clusterIP: "[fd00:96::1]:80", endpoints: ["[fd00::1]:80"] });

Deno.test("every call that changes something sends one datagram with one batch for both families", async () => {
  const kernel = new FakeTransport(emptyKernel());
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web, web6]));
  await backend.apply([
    { key: web.key, old: web, new: more },
    { key: web6.key, old: undefined, new: { ...web6, name: "new" } },
  ]);
  const batches = kernel.sent.filter(isBatch);
  assert.equal(batches.length, 2);
  for (const batch of batches) {
    const families = new Set([...messages(batch)].slice(1, -1).map(({ payload }) => payload[0]));
    assert.deepEqual(families, new Set([NFPROTO_IPV4, NFPROTO_IPV6]));
  }
});

Deno.test("changes without a difference send nothing, and a new endpoint writes only two chains", async () => {
  const kernel = new FakeTransport(emptyKernel());
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web, other]));
  const sent = kernel.sent.length;
  await backend.apply([{ key: web.key, old: web, new: { ...web } }]);
  assert.equal(kernel.sent.length, sent);

  await backend.apply([{ key: web.key, old: web, new: more }]);
  assert.equal(kernel.sent.length, sent + 1, "nothing is read from the kernel");
  const [, added] = more.clusterEndpoints;
  assert.deepEqual(changes(kernel), [
    `new chain ${endpointChain(more, added!)}`,
    `new rule ${endpointChain(more, added!)}`,
    `new rule ${endpointChain(more, added!)}`,
    `delete rules ${serviceChain("KUBE-SVC-", web)}`,
    ...Array(3).fill(`new rule ${serviceChain("KUBE-SVC-", web)}`),
  ]);
});

Deno.test("no sequence number is used twice, so that a late error is not assigned to another message", async () => {
  const kernel = new FakeTransport(emptyKernel());
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web]));
  await backend.apply([{ key: web.key, old: web, new: more }]);
  await backend.apply([{ key: web.key, old: more, new: undefined }]);
  const batches = kernel.sent.filter(isBatch);
  const seqs = batches.flatMap((batch) => [...messages(batch)].map(({ seq }) => seq));
  assert.equal(batches.length, 3);
  assert.deepEqual(seqs, [...new Set(seqs)].toSorted((a, b) => a - b));
});

Deno.test("a large first programming is split, and nothing jumps to its chains before the last batch", async () => {
  const kernel = new FakeTransport(emptyKernel());
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await backend.reconcile(desiredOf(largeServices));
  const batches = kernel.sent.filter(isBatch).map((batch) => [...messages(batch)]);
  assert.ok(batches.length > 1);
  const seqs = batches.flat().map(({ seq }) => seq);
  assert.ok(seqs.every((seq, index) => index === 0 || seq > (seqs[index - 1] ?? 0)));
  const jumps = batches.map((batch) => batch.some((message) => newRuleOf(message) === "KUBE-SERVICES"));
  assert.deepEqual(jumps, [...batches.slice(1).map(() => false), true]);
});

Deno.test("a rejection of any batch names its service, and nothing is sent after it", async () => {
  for (const [index, isLast] of [[0, false], [largeServices.length - 1, true]] as const) {
    const rejected = largeServices.at(index)!;
    const chain = serviceChain("KUBE-SVC-", rejected);
    const kernel = new FakeTransport(
      emptyKernel((message) => newRuleOf(message) === chain ? "EINVAL" : undefined),
    );
    using backend = withBackendErrors(new IptablesBackend(() => kernel));
    await assert.rejects(
      backend.reconcile(desiredOf(largeServices)),
      (error) => error instanceof BackendError && error.rejectedKeys.join() === rejected.key,
    );
    const jumps = kernel.sent.filter(isBatch).map((batch) =>
      [...messages(batch)].some((message) => newRuleOf(message) === "KUBE-SERVICES")
    );
    assert.equal(jumps.includes(true), isLast);
  }
});

Deno.test("a chain that foreign rules jump to is emptied and kept, and everything else is deleted", async () => {
  const used = endpointChain(web, web.clusterEndpoints[0]!);
  const kernel = new FakeTransport(
    emptyKernel((message) => deletedChain(message) === used ? "EBUSY" : undefined),
  );
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await backend.reconcile(desiredOf([web, other]));
  const before = kernel.sent.filter(isBatch).length;
  await backend.apply([
    { key: web.key, old: web, new: undefined },
    { key: other.key, old: other, new: undefined },
  ]);
  assert.equal(kernel.sent.filter(isBatch).length, before + 2);
  const written = changes(kernel);
  assert.ok(written.includes(`delete rules ${used}`));
  assert.ok(!written.includes(`delete chain ${used}`));
  assert.ok(written.includes(`delete chain ${serviceChain("KUBE-SVC-", web)}`));
  assert.ok(written.includes(`delete chain ${serviceChain("KUBE-SVC-", other)}`));

  await backend.apply([{ key: web.key, old: undefined, new: web }]);
  await backend.apply([{ key: web.key, old: web, new: undefined }]);
  assert.equal(kernel.sent.filter(isBatch).length, before + 4, "the chain is remembered");
});

Deno.test("a kernel that reports every chain as in use is not asked forever", async () => {
  const kernel = new FakeTransport(emptyKernel((message) => deletedChain(message) ? "EBUSY" : undefined));
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  const services = Array.from(
    { length: 20 },
    (_, index) => planOf({ name: `web-${index}`, clusterIP: `10.96.1.${index}:80` }),
  );
  await backend.reconcile(desiredOf(services));
  await assert.rejects(
    backend.apply(services.map((plan) => ({ key: plan.key, old: plan, new: undefined }))),
    (error) =>
      error instanceof BackendError &&
      /foreign rules jump to \d+ or more of the chains to delete/.test(error.message),
  );
});

Deno.test("a rejection names the service that the message was written for", async () => {
  for (const rejected of [web, other]) {
    const chain = serviceChain("KUBE-SVC-", rejected);
    const kernel = new FakeTransport(
      emptyKernel((message) => newRuleOf(message) === chain ? "EINVAL" : undefined),
    );
    using backend = withBackendErrors(new IptablesBackend(() => kernel));
    const isNamed = (error: unknown) => {
      assert.ok(error instanceof BackendError);
      assert.deepEqual(error.rejectedKeys, [rejected.key]);
      assert.ok(
        error.message.includes(
          `add a rule to chain ${chain} of table ip nat for service ${rejected.key}: EINVAL`,
        ),
      );
      return true;
    };
    await assert.rejects(backend.reconcile(desiredOf([web, other])), isNamed);
    await backend.reconcile(desiredOf([]));
    const all = [web, other].map((plan) => ({ key: plan.key, old: undefined, new: plan }));
    await assert.rejects(backend.apply(all), isNamed);
  }
});

Deno.test("a rejection of a change for no service names none", async () => {
  for (const chain of ["KUBE-MARK-MASQ", "KUBE-NODEPORTS", "POSTROUTING"]) {
    const kernel = new FakeTransport(
      emptyKernel((message) =>
        newRuleOf(message) === chain || newChain(message) === chain ? "EINVAL" : undefined
      ),
    );
    using backend = withBackendErrors(new IptablesBackend(() => kernel));
    const namesNone = (error: unknown) => {
      assert.ok(error instanceof BackendError);
      assert.deepEqual(error.rejectedKeys, []);
      assert.ok(error.message.includes(`chain ${chain} of table ip `) && error.message.includes("EINVAL"));
      return true;
    };
    await assert.rejects(backend.reconcile(desiredOf([web])), namesNone);
  }
});

Deno.test("the error names a missing kernel feature as the reason", async () => {
  const kernel = new FakeTransport(
    emptyKernel(({ type }) => type === NFNL_MSG_BATCH_BEGIN ? "EOPNOTSUPP" : undefined),
  );
  using backend = withBackendErrors(new IptablesBackend(() => kernel));
  await assert.rejects(
    backend.reconcile(desiredOf([web])),
    (error) =>
      error instanceof BackendError &&
      /EOPNOTSUPP.*Most likely the kernel lacks a feature/.test(error.message),
  );
});

/** More services than one batch holds. */
const largeServices = Array.from({ length: 1000 }, (_, index) =>
  planOf({
    name: `web-${index}`,
    clusterIP: `10.97.${index >> 8}.${index & 255}:80`,
    endpoints: Array.from({ length: 20 }, (_, host) => `10.${index >> 8}.${index & 255}.${host}:80`),
  }));

const verbs = new Map([
  [nftType(nft.NFT_MSG_NEWCHAIN), "new chain"],
  [nftType(nft.NFT_MSG_DELCHAIN), "delete chain"],
  [nftType(nft.NFT_MSG_NEWRULE), "new rule"],
  [nftType(nft.NFT_MSG_DELRULE), "delete rules"],
]);

/** The changes of the last batch, as `new rule KUBE-SERVICES`. */
function changes(kernel: FakeTransport): readonly string[] {
  const batch = kernel.sent.findLast(isBatch) ?? new Uint8Array();
  return [...messages(batch)].slice(1, -1).map((message) => `${verbs.get(message.type)} ${chainOf(message)}`);
}

function deletedChain(message: NetlinkMessage): string | undefined {
  return message.type === nftType(nft.NFT_MSG_DELCHAIN) ? chainOf(message) : undefined;
}

function newChain(message: NetlinkMessage): string | undefined {
  return message.type === nftType(nft.NFT_MSG_NEWCHAIN) ? chainOf(message) : undefined;
}

function newRuleOf(message: NetlinkMessage): string | undefined {
  return message.type === nftType(nft.NFT_MSG_NEWRULE) ? chainOf(message) : undefined;
}

function chainOf({ type, payload }: NetlinkMessage): string | undefined {
  const isRule = type === nftType(nft.NFT_MSG_NEWRULE) || type === nftType(nft.NFT_MSG_DELRULE);
  const name = isRule ? nft.NFTA_RULE_CHAIN : nft.NFTA_CHAIN_NAME;
  return attribute(payload, name, NFGENMSG_BYTES)?.string();
}
