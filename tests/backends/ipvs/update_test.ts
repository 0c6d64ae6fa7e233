import assert from "node:assert/strict";
import type { ServerDifference } from "../../../backends/ipvs/servers/diff.ts";
import { splitRemoved } from "../../../backends/nf_tables/fixed/tables.ts";
import {
  changedServers,
  compileChanges,
  type FamilyUpdate,
  updatesOf,
} from "../../../backends/ipvs/update.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { UseCounts } from "../../../backends/use_counts.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { addressOf, planOf, type PlanText, settingsOf } from "../plans.ts";
import { defaultOptions } from "./options.ts";
import { differenceTexts, elementText } from "./texts.ts";

const settings = settingsOf("IPv4", { nodePorts: [addressOf("192.168.7.1")] });

type Change = readonly [old: PlanText | undefined, next: PlanText | undefined];

/** Programmed state that batches of changes update. */
class InForce {
  readonly uses = new UseCounts();

  change(...changes: readonly Change[]): WholeUpdate {
    const all = changes.map(([old, next]) => ({ old: old && planOf(old), new: next && planOf(next) }));
    const families = [{ family: tableFamilyOf("IPv4"), settings, uses: this.uses }];
    const compiled = compileChanges(all, families, defaultOptions);
    const [update] = updatesOf(families, compiled);
    assert.ok(update);
    update.accept();
    return { ...update, servers: changedServers(compiled) };
  }

  usesByName(): Record<string, number> {
    return Object.fromEntries([...this.uses.names()].map((name) => [name, this.uses.of(name)]));
  }
}

interface WholeUpdate extends FamilyUpdate {
  readonly servers: ServerDifference;
}

function texts({ servers, addresses, elements }: WholeUpdate): string[] {
  return [
    ...differenceTexts(servers),
    ...addresses.added.map((address) => `+ address ${formatAddress(address)}`),
    ...addresses.removed.map((address) => `- address ${formatAddress(address)}`),
    ...elements.added.map((element) => `+ ${element.set} ${elementText(element)}`),
    ...elements.removed.map((element) => `- ${element.set} ${elementText(element)}`),
  ];
}

const web: PlanText = { clusterIP: "10.96.0.10:80", endpoints: ["10.1.1.1:80", "10.1.1.2:80"] };
const https: PlanText = { ...web, portName: "https", clusterIP: "10.96.0.10:443" };

Deno.test("all objects of a new service are added, and all of a deleted one are removed", () => {
  const node = new InForce();
  assert.deepEqual(texts(node.change([undefined, web])), [
    "+ 10.96.0.10:80/TCP rr",
    "+ 10.96.0.10:80/TCP -> 10.1.1.1:80",
    "+ 10.96.0.10:80/TCP -> 10.1.1.2:80",
    "+ address 10.96.0.10",
    "+ virtual-servers 10.96.0.10:80/TCP",
    "+ ipvs-ips 10.96.0.10",
    "+ cluster-ips 10.96.0.10",
  ]);
  // The kernel removes real servers with their virtual server.
  assert.deepEqual(texts(node.change([web, undefined])), [
    "- 10.96.0.10:80/TCP rr",
    "- address 10.96.0.10",
    "- virtual-servers 10.96.0.10:80/TCP",
    "- ipvs-ips 10.96.0.10",
    "- cluster-ips 10.96.0.10",
  ]);
});

Deno.test("equal plans have no difference", () => {
  const node = new InForce();
  node.change([undefined, web]);
  const before = node.usesByName();
  assert.deepEqual(texts(node.change([web, { ...web }])), []);
  assert.deepEqual(node.usesByName(), before);
});

Deno.test("added and removed endpoints change only real servers", () => {
  const node = new InForce();
  node.change([undefined, web]);
  const scaled = { ...web, endpoints: ["10.1.1.2:80", "10.1.1.3:80"] };
  assert.deepEqual(texts(node.change([web, scaled])), [
    "+ 10.96.0.10:80/TCP -> 10.1.1.3:80",
    "- 10.96.0.10:80/TCP -> 10.1.1.1:80",
  ]);
});

Deno.test("turning on affinity changes the virtual server and keeps its real servers", () => {
  const node = new InForce();
  node.change([undefined, web]);
  assert.deepEqual(texts(node.change([web, { ...web, affinitySeconds: 60 }])), [
    "* 10.96.0.10:80/TCP rr persistent 60",
  ]);
});

Deno.test("an address stays on the device while any service port uses it", () => {
  const node = new InForce();
  node.change([undefined, web]);
  const added = node.change([undefined, https]);
  assert.deepEqual(added.addresses, { added: [], removed: [] });
  assert.deepEqual(texts(added).filter((text) => text.includes("ips")), []);
  assert.deepEqual(node.change([web, undefined]).addresses.removed, []);
  assert.deepEqual(node.change([https, undefined]).addresses.removed.map(formatAddress), ["10.96.0.10"]);
});

Deno.test("two service ports of one batch add a shared address once", () => {
  const node = new InForce();
  const difference = node.change([undefined, web], [undefined, https]);
  assert.deepEqual(difference.addresses.added.map(formatAddress), ["10.96.0.10"]);
  assert.deepEqual(node.change([web, undefined], [https, undefined]).addresses.removed.length, 1);
});

Deno.test("a hairpin element is removed with the last service port of its endpoint", () => {
  const node = new InForce();
  const local = { ...web, endpoints: ["10.1.0.1:80@here"] };
  const other = { ...https, endpoints: ["10.1.0.1:443@here"] };
  node.change([undefined, local], [undefined, other]);
  const hairpins = (difference: WholeUpdate) =>
    texts(difference).filter((text) => text.includes("hairpin-connections"));
  assert.deepEqual(hairpins(node.change([local, undefined])), []);
  assert.deepEqual(hairpins(node.change([other, undefined])), [
    "- hairpin-connections 10.1.0.1 to 10.1.0.1",
  ]);
});

Deno.test("a frontend that moves to another service is one virtual server with different real servers", () => {
  const node = new InForce();
  node.change([undefined, web]);
  const other: PlanText = { ...web, name: "other", endpoints: ["10.1.1.2:80", "10.1.1.9:80"] };
  assert.deepEqual(texts(node.change([web, undefined], [undefined, other])), [
    "+ 10.96.0.10:80/TCP -> 10.1.1.9:80",
    "- 10.96.0.10:80/TCP -> 10.1.1.1:80",
    // Only the comment differs.
    "+ virtual-servers 10.96.0.10:80/TCP",
    "- virtual-servers 10.96.0.10:80/TCP",
  ]);
});

Deno.test("changed source ranges are replaced", () => {
  const node = new InForce();
  const guarded: PlanText = { loadBalancerIPs: ["203.0.113.1:80"], sourceRanges: ["192.0.2.0/24"] };
  node.change([undefined, guarded]);
  assert.deepEqual(texts(node.change([guarded, { ...guarded, sourceRanges: ["192.0.2.0/25"] }])), [
    "+ firewall-allowed 203.0.113.1:80/TCP from 192.0.2.0-192.0.2.127",
    "- firewall-allowed 203.0.113.1:80/TCP from 192.0.2.0-192.0.2.255",
  ]);
});

Deno.test("ranges are replaced together with those of their frontend, which may overlap; other removals come later", () => {
  const node = new InForce();
  const guarded: PlanText = {
    loadBalancerIPs: ["203.0.113.1:80", "203.0.113.2:80"],
    sourceRanges: ["192.0.2.0/24", "10.0.0.0/8"],
  };
  node.change([undefined, guarded]);
  const { elements } = node.change([guarded, {
    loadBalancerIPs: ["203.0.113.1:80"],
    sourceRanges: ["192.0.2.0/25", "10.0.0.0/8"],
  }]);
  const { replaced, gone } = splitRemoved(elements);
  assert.deepEqual(replaced.map(elementText), ["203.0.113.1:80/TCP from 192.0.2.0-192.0.2.255"]);
  assert.deepEqual(gone.filter(({ set }) => set === "firewall-allowed").map(elementText), [
    "203.0.113.2:80/TCP from 192.0.2.0-192.0.2.255",
    "203.0.113.2:80/TCP from 10.0.0.0-10.255.255.255",
  ]);
});

Deno.test("losing the last local endpoint drops clients outside", () => {
  const node = new InForce();
  const here: PlanText = {
    nodePort: 30080,
    external: "local",
    endpoints: ["10.1.0.1:80@here", "10.1.1.2:80"],
  };
  node.change([undefined, here]);
  assert.deepEqual(texts(node.change([here, { ...here, endpoints: ["10.1.1.2:80"] }])), [
    "+ 192.168.7.1:30080/TCP -> 10.1.1.2:80",
    "- 192.168.7.1:30080/TCP -> 10.1.0.1:80",
    "+ no-local-endpoint-services 192.168.7.1:30080/TCP",
    "- hairpin-connections 10.1.0.1 to 10.1.0.1",
  ]);
});
