import assert from "node:assert/strict";
import { hostAddress } from "../../../../backends/ipvs/device/link_address.ts";
import { describeDifferences } from "../../../../backends/ipvs/servers/describe.ts";
import { diffServers } from "../../../../backends/ipvs/servers/diff.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import { addressOf, real, virtual } from "../servers.ts";

const web = virtual("10.96.0.10:80/TCP");
const dns = virtual("10.96.0.11:53/UDP");

Deno.test("each missing, different or superfluous object is described", () => {
  const servers = diffServers(
    [
      { ...web, scheduler: "wrr", realServers: [real("10.1.0.1:80"), real("10.1.0.2:80")] },
      { ...virtual("[fd00::a]:80/TCP"), realServers: [] },
    ],
    [{ ...web, realServers: [real("10.1.0.1:80", 5), real("10.1.0.3:80")] }, { ...dns, realServers: [] }],
  );
  const addresses = { added: [web.address], removed: [hostAddress(7, addressOf("fd00::b"))] };
  assert.deepEqual(describeDifferences({ missingTables: [tableFamilyOf("IPv6")], servers, addresses }), [
    "add table ip6 kube-proxy-ipvs",
    "add virtual server [fd00::a]:80/TCP",
    "add real server 10.1.0.2:80 to virtual server 10.96.0.10:80/TCP",
    "add address 10.96.0.10 to kube-ipvs0",
    "change virtual server 10.96.0.10:80/TCP",
    "change real server 10.1.0.1:80 of virtual server 10.96.0.10:80/TCP",
    "remove virtual server 10.96.0.11:53/UDP",
    "remove real server 10.1.0.3:80 from virtual server 10.96.0.10:80/TCP",
    "remove address fd00::b from kube-ipvs0",
  ]);
});
