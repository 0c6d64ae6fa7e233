import assert from "node:assert/strict";
import { hostAddress } from "../../../backends/ipvs/device_messages.ts";
import { differencesInWords, strayServer } from "../../../backends/ipvs/differences_in_words.ts";
import { serverDifference } from "../../../backends/ipvs/server_difference.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import { virtualServerKey } from "../../../backends/ipvs/virtual_server.ts";
import { addressOf, real, virtual } from "./servers.ts";

const web = virtual("10.96.0.10:80/TCP");
const dns = virtual("10.96.0.11:53/UDP");

Deno.test("what was missing, wrong or too much is told one by one", () => {
  const servers = serverDifference(
    [{ ...web, realServers: [real("10.1.0.1:80", 5), real("10.1.0.3:80")] }, { ...dns, realServers: [] }],
    [
      { ...web, scheduler: "wrr", realServers: [real("10.1.0.1:80"), real("10.1.0.2:80")] },
      { ...virtual("[fd00::a]:80/TCP"), realServers: [] },
    ],
  );
  const addresses = { added: [web.address], removed: [hostAddress(7, addressOf("fd00::b"))] };
  assert.deepEqual(differencesInWords({ tables: [tableFamilyOf("IPv6")], servers, addresses }), [
    "add table ip6 kube-proxy-ipvs",
    "add virtual server [fd00::a]:80/TCP",
    "change virtual server 10.96.0.10:80/TCP",
    "remove virtual server 10.96.0.11:53/UDP",
    "add real server 10.1.0.2:80 to virtual server 10.96.0.10:80/TCP",
    "change real server 10.1.0.1:80 of virtual server 10.96.0.10:80/TCP",
    "remove real server 10.1.0.3:80 from virtual server 10.96.0.10:80/TCP",
    "add address 10.96.0.10 to kube-ipvs0",
    "remove address fd00::b from kube-ipvs0",
  ]);
});

Deno.test("a virtual server that someone added is named, those that are gone are counted", () => {
  const wanted = new Map([web, dns].map((server) => [virtualServerKey(server), ""]));
  assert.equal(strayServer([web, dns], wanted), undefined);
  assert.equal(strayServer([], wanted), "2 virtual servers were removed");
  assert.equal(strayServer([web], wanted), "1 virtual server was removed");
  assert.equal(
    strayServer([web, dns, virtual("10.99.0.1:80/TCP")], wanted),
    "virtual server 10.99.0.1:80/TCP was added",
  );
});
