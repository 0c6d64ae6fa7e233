import assert from "node:assert/strict";
import { targetOf } from "../../../../backends/userspace/redirection/target.ts";
import { addressOf, settingsOf } from "../../plans.ts";

const own = ["10.0.0.5", "127.0.0.1", "169.254.1.1", "192.168.7.1"].map(addressOf);
const [vip, loopback, , primary] = own;

Deno.test("connections are redirected to an address of node ports, so not to one that moves with a Service", () => {
  const settings = settingsOf("IPv4", { interfaceAddresses: own, nodePorts: [primary!] });
  assert.equal(targetOf(settings), primary);
  assert.equal(targetOf(settingsOf("IPv4", { interfaceAddresses: own, nodePorts: "all" })), vip);
  assert.equal(
    targetOf(settingsOf("IPv4", { interfaceAddresses: own, nodePorts: [addressOf("192.0.2.1")] })),
    vip,
  );
});

Deno.test("the address stays while the node has it", () => {
  const settings = settingsOf("IPv4", { interfaceAddresses: own, nodePorts: [primary!] });
  assert.equal(targetOf(settings, vip), vip);
  assert.equal(targetOf(settings, addressOf("192.0.2.1")), primary);
});

Deno.test("a node without an address of its own serves itself", () => {
  const settings = settingsOf("IPv4", { interfaceAddresses: own.slice(1, 3), nodePorts: [] });
  assert.equal(targetOf(settings), loopback);
});
