import assert from "node:assert/strict";
import { IptablesBackend } from "../../backends/iptables/backend.ts";
import { probeKernel as probeIptables } from "../../backends/iptables/probe.ts";
import { probeTables as probeIpvs } from "../../backends/ipvs/probe.ts";
import { IPVS_TABLE, TABLE } from "../../backends/ipvs/tables/chains.ts";
import { compileChanges, updatesOf } from "../../backends/ipvs/update.ts";
import { TableBatch } from "../../backends/nf_tables/batch.ts";
import * as nft from "../../backends/nf_tables/constants.ts";
import { TABLE_FAMILIES, tableFamilyOf } from "../../backends/nf_tables/families.ts";
import { writeTable } from "../../backends/nf_tables/fixed/table.ts";
import type { Probe } from "../../backends/nf_tables/probe.ts";
import { NftablesBackend } from "../../backends/nftables/backend.ts";
import { probeKernel as probeNftables } from "../../backends/nftables/probe.ts";
import { UserspaceBackend } from "../../backends/userspace/backend.ts";
import { probeTables as probeUserspace } from "../../backends/userspace/probe.ts";
import { UseCounts } from "../../backends/use_counts.ts";
import type { Requirement } from "../../core/backend/contract.ts";
import type { DesiredState, NodeSettings } from "../../core/plan/plan.ts";
import { NetlinkClient } from "../../ffi/netlink/client.ts";
import { NFGENMSG_BYTES } from "../../ffi/netlink/nfnetlink.ts";
import { attribute, messages, type NetlinkMessage } from "../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../ffi/netlink/writer.ts";
import { FakeTransport } from "../ffi/netlink/fake_transport.ts";
import { everyKindOfPlan, everyKindOfSettings } from "./everything.ts";
import { defaultOptions } from "./ipvs/options.ts";
import { emptyKernel, isBatch, nftType } from "./nf_tables/fake_kernel.ts";
import { desiredOf } from "./plans.ts";
import { FakeRelay, userspaceOptions } from "./userspace/fake_relay.ts";

interface ModeWithTables {
  readonly probe: Probe;
  /** Returns the batches that program the state. */
  readonly program: (desired: DesiredState) => Promise<readonly Uint8Array[]>;
  /** A chain that only the tables as a whole have, and its description. */
  readonly chain: string;
  readonly described: string;
}

const modes: Readonly<Record<string, ModeWithTables>> = {
  nftables: {
    probe: probeNftables,
    program: async (desired) => {
      const kernel = new FakeTransport(emptyKernel());
      await new NftablesBackend(() => kernel).reconcile(desired);
      return kernel.sent.filter(isBatch);
    },
    chain: "firewall-check",
    described: "add a rule of chain firewall-check of table ip kube-proxy",
  },
  iptables: {
    probe: (client, families) => probeIptables(client, families, () => []),
    program: async (desired) => {
      const kernel = new FakeTransport(emptyKernel());
      await new IptablesBackend(() => kernel).reconcile(desired);
      return kernel.sent.filter(isBatch);
    },
    chain: "KUBE-FORWARD",
    described: "add a rule to chain KUBE-FORWARD of table ip filter",
  },
  ipvs: {
    probe: probeIpvs,
    program: ({ settings, plans }) => {
      const batch = new TableBatch(TABLE, new MessageWriter(), 1);
      for (const one of settings) {
        const state = {
          family: tableFamilyOf(one.family),
          settings: listingNodePorts(one),
          uses: new UseCounts(),
        };
        const changes = compileChanges(
          [...plans.values()].map((plan) => ({ new: plan })),
          [state],
          defaultOptions,
        );
        const elements = updatesOf([state], changes).flatMap(({ elements }) => elements.added);
        writeTable(IPVS_TABLE, batch, { ...state, elements });
      }
      return Promise.resolve([batch.end()]);
    },
    chain: "firewall-check",
    described: "add a rule of chain firewall-check of table ip kube-proxy-ipvs",
  },
  userspace: {
    probe: probeUserspace,
    program: async (desired) => {
      const kernel = new FakeTransport(emptyKernel());
      const backend = new UserspaceBackend(userspaceOptions, FakeRelay.starter([]), () => kernel);
      await backend.reconcile(desired);
      return kernel.sent.filter(isBatch);
    },
    chain: "firewall-check",
    described: "add a rule of chain firewall-check of table ip kube-proxy-userspace",
  },
};

/** Without those of SCTP, which mode iptables tries apart because a node can do without. */
const plans = everyKindOfPlan.filter(({ protocol }) => protocol !== "SCTP");

for (const [mode, { probe, program, chain, described }] of Object.entries(modes)) {
  Deno.test(`the probe of mode ${mode} tries every kind of rule and set that the mode programs`, async () => {
    const kernel = new FakeTransport(emptyKernel());
    await probe(new NetlinkClient(kernel), TABLE_FAMILIES);
    const tried = new Set(kernel.sent.filter(isBatch).flatMap(kindsIn));
    const programmed = new Set<string>();
    for (const settings of everyKindOfSettings) {
      for (const batch of await program(desiredOf(plans, settings))) {
        for (const kind of kindsIn(batch)) programmed.add(kind);
      }
    }
    assert.ok(programmed.size > 20, `only ${programmed.size} kinds`);
    assert.deepEqual([...programmed.difference(tried)], []);
  });

  Deno.test(`the probe of mode ${mode} reports a rule that the kernel rejects although it has all features`, async () => {
    const isRejected = ({ type, payload }: NetlinkMessage) =>
      type === nftType(nft.NFT_MSG_NEWRULE) &&
      attribute(payload, nft.NFTA_RULE_CHAIN, NFGENMSG_BYTES)?.string() === chain;
    const kernel = new FakeTransport(emptyKernel((message) => isRejected(message) ? "EINVAL" : undefined));
    const found = await probe(new NetlinkClient(kernel), TABLE_FAMILIES);
    assert.deepEqual(found.filter(isMissing), [{
      name: "all rules of the mode",
      severity: "required",
      found: false,
      detail: `the kernel rejects one: ${described}: EINVAL (Invalid argument)`,
    }]);
  });
}

function isMissing({ found, severity }: Requirement): boolean {
  return !found && severity === "required";
}

function listingNodePorts(settings: NodeSettings): NodeSettings {
  return settings.nodePorts === "all" ? { ...settings, nodePorts: [] } : settings;
}

/** Attributes whose values differ from one rule to another of its kind, by the name of the instruction. */
const VALUES: Readonly<Record<string, readonly number[]>> = {
  cmp: [nft.NFTA_CMP_DATA],
  bitwise: [nft.NFTA_BITWISE_LEN, nft.NFTA_BITWISE_MASK, nft.NFTA_BITWISE_XOR],
  payload: [nft.NFTA_PAYLOAD_LEN],
  immediate: [nft.NFTA_IMMEDIATE_DATA],
  lookup: [nft.NFTA_LOOKUP_SET, nft.NFTA_LOOKUP_SET_ID],
  dynset: [nft.NFTA_DYNSET_SET_NAME],
  numgen: [nft.NFTA_NG_MODULUS],
  match: [nft.NFTA_MATCH_INFO],
  target: [nft.NFTA_TARGET_INFO],
};

/** Describes the rules and sets that a batch adds, so that those of one kind are equal. */
function kindsIn(batch: Uint8Array): string[] {
  return [...messages(batch)].flatMap((message) => {
    if (message.type === nftType(nft.NFT_MSG_NEWRULE)) return [kindOfRule(message)];
    return message.type === nftType(nft.NFT_MSG_NEWSET) ? [kindOfSet(message)] : [];
  });
}

function kindOfRule({ payload }: NetlinkMessage): string {
  const instructions = attribute(payload, nft.NFTA_RULE_EXPRESSIONS, NFGENMSG_BYTES)?.attributes() ?? [];
  const texts = [...instructions].map((instruction) => {
    const name = instruction.attribute(nft.NFTA_EXPR_NAME)?.string() ?? "";
    const data = instruction.attribute(nft.NFTA_EXPR_DATA)?.attributes() ?? [];
    const values = VALUES[name] ?? [];
    const fields = [...data].map(({ type, bytes }) => values.includes(type) ? `${type}` : `${type}=${bytes}`);
    return `${name} ${fields.join(" ")}`;
  });
  return `family ${payload[0]} rule: ${texts.join("; ")}`;
}

function kindOfSet({ payload }: NetlinkMessage): string {
  const of = (type: number) => attribute(payload, type, NFGENMSG_BYTES)?.bytes;
  const fields = [nft.NFTA_SET_FLAGS, nft.NFTA_SET_KEY_TYPE, nft.NFTA_SET_KEY_LEN, nft.NFTA_SET_DATA_TYPE];
  return `family ${payload[0]} set: ${fields.map(of).join(" ")}`;
}
