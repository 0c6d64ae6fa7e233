import assert from "node:assert/strict";
import { addressOfClient, type AskedClient, parseClient } from "../../../core/explain/asked_client.ts";
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

Deno.test("the address of a client is of the family of the question, that of a ready endpoint first", () => {
  const store = new Store("here");
  store.upsert(aService());
  store.upsert(aSlice([{ at: "10.1.0.1", ready: false }, { at: "10.1.0.2" }]));
  const traced = {
    settings: [],
    plans: new Map(),
    index: new FrontendIndex(),
    addresses: ["127.0.0.1", "192.0.2.1", "2001:db8::1"].map(address),
  };
  const addressFor = (text: string, question: string) => {
    const client = parseClient(text, about(question));
    assert.ok(!("problem" in client) && client.is !== "pod");
    return addressOfClient(client, about(question), { store, traced });
  };
  assert.equal(addressFor("", "default/web"), undefined);
  assert.equal(addressFor("node", "default/web"), address("192.0.2.1"));
  assert.equal(addressFor("node", "[fd00::1]:80"), address("2001:db8::1"));
  assert.equal(addressFor("10.1.0.9", "10.96.0.1:80"), address("10.1.0.9"));
  assert.equal(addressFor("default/web", "10.96.0.1:80"), address("10.1.0.2"));
  assert.deepEqual(addressFor("default/web", "[fd00::1]:80"), {
    problem: "Service default/web has no endpoint of the family of the question",
  });
  assert.deepEqual(addressFor("default/nobody", "10.96.0.1:80"), {
    problem: "there is no Service default/nobody",
  });
});
