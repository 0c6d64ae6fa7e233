import assert from "node:assert/strict";
import type { Requirement } from "../../../core/backend/contract.ts";
import type { LegacyTable } from "../../../backends/x_tables/tables.ts";
import { probeKernel } from "../../../backends/iptables/probe.ts";
import * as nft from "../../../backends/nf_tables/constants.ts";
import { TABLE_FAMILIES } from "../../../backends/nf_tables/families.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { messages, type NetlinkMessage } from "../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { FakeTransport } from "../../ffi/netlink/fake_transport.ts";
import { NFNL_SUBSYS_NFTABLES } from "../../../ffi/netlink/nfnetlink.ts";

/** Probes a kernel that rejects these messages with ENOENT. */
async function probe(
  rejects: (message: NetlinkMessage) => boolean,
  legacy: readonly LegacyTable[] = [],
): Promise<ReadonlyMap<string, Requirement>> {
  const kernel = new FakeTransport((sent) => {
    const all = [...messages(sent)];
    // A batch is answered at the rejected messages, any other request at its end.
    if (all.length === 1) return all.map((message) => answer(message, "ENOENT"));
    const deletion = NFNL_SUBSYS_NFTABLES << 8 | nft.NFT_MSG_DELCHAIN;
    return all.filter((message) => message.type === deletion || rejects(message))
      .map((message) => answer(message, "ENOENT"));
  });
  const found = await probeKernel(new NetlinkClient(kernel), TABLE_FAMILIES, () => legacy);
  const batch = kernel.sent.map((bytes) => [...messages(bytes)]).find((all) => all.length > 1);
  assert.equal(batch?.at(-2)?.type, 10 << 8 | nft.NFT_MSG_DELCHAIN);
  return new Map(found.map((requirement) => [requirement.name, requirement]));
}

function answer({ type, seq }: NetlinkMessage, errno: string): Uint8Array<ArrayBuffer> {
  const message = new MessageWriter();
  message.begin(NLMSG_ERROR, 0x100, seq);
  message.rawU32le(-errnoOf(errno) >>> 0);
  for (const value of [16, type, seq, 0]) message.rawU32le(value);
  message.end();
  return message.bytes().slice();
}

function names(text: string): (message: NetlinkMessage) => boolean {
  const decoder = new TextDecoder("latin1");
  return ({ payload }) => decoder.decode(payload).includes(`${text}\0`);
}

const isRule = ({ type }: NetlinkMessage) => type === (NFNL_SUBSYS_NFTABLES << 8 | nft.NFT_MSG_NEWRULE);

Deno.test("a missing match is reported with its kernel module, and the others are found", async () => {
  const found = await probe(names("statistic"));
  const missing = [...found.values()].filter((one) => !one.found && one.severity === "required");
  assert.deepEqual(missing.map(({ name }) => name), ["match statistic"]);
  assert.match(
    missing[0]?.detail ?? "",
    /ENOENT .* for IPv4, ENOENT .* for IPv6\. They require xt_statistic \(CONFIG_/,
  );
});

Deno.test("a kernel without any match is reported to lack what all of them need", async () => {
  const found = await probe(isRule);
  const missing = [...found.values()].filter((one) => !one.found);
  assert.deepEqual(missing.map(({ name }) => name), ["rules of iptables in nf_tables"]);
  assert.match(missing[0]?.detail ?? "", /CONFIG_NFT_COMPAT.*mode nftables needs neither/);
});

Deno.test("rules in legacy tables cause a warning and do not prevent the start", async () => {
  const nothing = () => false;
  assert.equal((await probe(nothing)).get("no legacy iptables rules")?.found, true);
  const used = {
    family: "IPv4",
    table: "nat",
    rules: 7,
    chains: ["KUBE-SERVICES"],
    kubeChains: ["KUBE-SERVICES"],
  } as const;
  const warning = (await probe(nothing, [used])).get("no legacy iptables rules");
  assert.deepEqual([warning?.found, warning?.severity], [false, "recommended"]);
  assert.match(warning?.detail ?? "", /kube-proxy --cleanup/);
});
