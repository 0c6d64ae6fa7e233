import assert from "node:assert/strict";
import { addressesOfClient, type AskedClient, parseClient } from "../../../core/explain/asked_client.ts";
import { FrontendIndex } from "../../../core/explain/trace/frontend_lookup.ts";
import { parseQuestion, type Question } from "../../../core/explain/question.ts";
import { Store } from "../../../core/objects/store.ts";
import { address, aService, aSlice } from "../plan/builders.ts";

const about = (text: string) => parseQuestion(text) as Question;
const ofService = about("default/web");

Deno.test("a client is every kind, the node, an address, a pod, or a pod of a service", () => {
  const cases: readonly (readonly [string, AskedClient])[] = [
    ["", { is: "every kind of client" }],
    ["node", { is: "this node" }],
    ["10.1.0.5", { is: "address", address: address("10.1.0.5") }],
    ["pod/shop/cart", { is: "pod", pod: { namespace: "shop", name: "cart" } }],
    ["pod/cart", { is: "pod", pod: { namespace: "default", name: "cart" } }],
    ["shop/cart", { is: "pod of service", service: "shop/cart" }],
    ["cart.shop.svc", { is: "pod of service", service: "shop/cart" }],
  ];
  for (const [text, client] of cases) assert.deepEqual(parseClient(text, ofService), client, text);
});

Deno.test("a text that names no client is a problem that says what does", () => {
  const cases: readonly (readonly [string, string, RegExp])[] = [
    ["x", "default/web", /must be node, an IP address/],
    ["shop/cart:http", "default/web", /must be node, an IP address/],
    ["pod/cart", "10.96.0.1:80", /pod\/NAMESPACE\/NAME/],
    ["fd00::1", "10.96.0.1:80", /same family/],
  ];
  for (const [text, question, problem] of cases) {
    const parsed = parseClient(text, about(question));
    assert.ok("problem" in parsed, text);
    assert.match(parsed.problem, problem);
  }
});

Deno.test("a client has an address of each family that the question can be about, that of a ready endpoint first", () => {
  const store = new Store("here");
  store.upsert(aService());
  store.upsert(aSlice([{ at: "10.1.0.1", ready: false }, { at: "10.1.0.2" }]));
  store.upsert(aService({ name: "both" }));
  store.upsert(aSlice([{ at: "10.1.0.3" }], { service: "both", name: "both-4" }));
  store.upsert(aSlice([{ at: "fd00::3" }], { service: "both", name: "both-6" }));
  const traced = {
    settings: [],
    plans: new Map(),
    index: new FrontendIndex(),
    addresses: ["127.0.0.1", "169.254.7.7", "192.0.2.1", "fe80::1", "2001:db8::1"].map(address),
  };
  const addressFor = (text: string, question: string) => {
    const client = parseClient(text, about(question));
    assert.ok(!("problem" in client) && client.is !== "pod");
    return addressesOfClient(client, about(question), { store, traced });
  };
  const cases: readonly (readonly [client: string, question: string, addresses: readonly string[]])[] = [
    ["node", "default/web", ["192.0.2.1", "2001:db8::1"]],
    ["node", "[fd00::1]:80", ["2001:db8::1"]],
    ["10.1.0.9", "10.96.0.1:80", ["10.1.0.9"]],
    ["fd00::9", "default/web", ["fd00::9"]],
    ["default/web", "10.96.0.1:80", ["10.1.0.2"]],
    ["default/both", "default/web", ["10.1.0.3", "fd00::3"]],
  ];
  for (const [client, question, addresses] of cases) {
    assert.deepEqual(addressFor(client, question), addresses.map(address), `${client} and ${question}`);
  }
  assert.equal(addressFor("", "default/web"), undefined);
  assert.deepEqual(addressFor("default/web", "[fd00::1]:80"), {
    problem: "Service default/web has no endpoint of the family of the question",
  });
  assert.deepEqual(addressFor("default/nobody", "10.96.0.1:80"), {
    problem: "there is no Service default/nobody",
  });
});
