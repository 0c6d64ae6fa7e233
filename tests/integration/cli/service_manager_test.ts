import assert from "node:assert/strict";
import { DatagramReceiver } from "../../ffi/socket/unix/datagram_receiver.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

const WATCHDOG_MS = 400;

/** Starts the proxy as a service manager does. */
function startNotified(node: Node, socket: string, flags: readonly string[]): RunningProxy {
  const wrapper = ["env", `NOTIFY_SOCKET=${socket}`, `WATCHDOG_USEC=${WATCHDOG_MS * 1000}`];
  return node.startWith(wrapper, ...flags);
}

Deno.test("a service manager is told of the start, of reloads, of what is in force and of the end", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const socket = `${node.directory}/notify`;
  using receiver = new DatagramReceiver(socket);
  await using proxy = startNotified(node, socket, []);
  const told = (word: string) => receiver.messages.filter((message) => message.startsWith(word));

  await proxy.until(() => told("READY=1").length === 1, "READY=1");
  assert.match(told("READY=1")[0] ?? "", /^READY=1\nSTATUS=Mode nftables: 1 service port in force$/);
  assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);

  await node.write("api.json", reachable("api", "10.96.0.11"));
  await proxy.until(() => told("STATUS=Mode nftables: 2 service ports in force").length === 1, "new status");

  proxy.signal("SIGHUP");
  await proxy.until(() => told("READY=1").length === 2, "second READY=1");
  const [reloading = ""] = told("RELOADING=1");
  const began = Number(/^RELOADING=1\nMONOTONIC_USEC=(\d+)$/.exec(reloading)?.[1]) / 1e6;
  const now = Number(Deno.readTextFileSync("/proc/uptime").split(" ")[0]);
  assert.ok(began > 0 && began <= now && began > now - 60, `${began} is not just before ${now}`);

  assert.equal((await proxy.end()).code, 0);
  assert.equal(receiver.messages.at(-1), "STOPPING=1\nSTATUS=Stopping; the rules stay in force");
});

Deno.test("the watchdog is fed by an idle process, not by one that is stopped", async () => {
  await using node = await Node.make();
  const socket = `${node.directory}/notify`;
  using receiver = new DatagramReceiver(socket);
  await using proxy = startNotified(node, socket, []);
  const fed = () => receiver.messages.filter((message) => message === "WATCHDOG=1").length;
  await proxy.inForce();
  const before = fed();
  await proxy.until(() => fed() > before + 3, "food");
  proxy.signal("SIGSTOP");
  await new Promise((resolve) => setTimeout(resolve, WATCHDOG_MS));
  const hungry = fed();
  await new Promise((resolve) => setTimeout(resolve, 2 * WATCHDOG_MS));
  assert.equal(fed(), hungry);
  proxy.signal("SIGCONT");
  await proxy.until(() => fed() > hungry, "food");
});

Deno.test("a start that the API server keeps waiting is not ready, and says what it waits for", async () => {
  await using node = await Node.make();
  const socket = `${node.directory}/notify`;
  using receiver = new DatagramReceiver(socket);
  await using proxy = startNotified(node, socket, ["--master=http://127.0.0.1:1"]);
  const expected =
    "STATUS=Mode nftables: waiting for the first list from the API server; the API server is unreachable";
  await proxy.until(() => receiver.messages.includes(expected), expected);
  assert.ok(!receiver.messages.some((message) => message.startsWith("READY")));
});

Deno.test("credential plugins do not inherit the socket", async () => {
  await using node = await Node.make();
  const socket = `${node.directory}/notify`;
  using _receiver = new DatagramReceiver(socket);
  const [plugin, seen] = [`${node.directory}/plugin`, `${node.directory}/seen`];
  await Deno.writeTextFile(plugin, `#!/bin/sh\nenv >${seen}.new\nmv ${seen}.new ${seen}\nexit 1\n`, {
    mode: 0o755,
  });
  const exec = { apiVersion: "client.authentication.k8s.io/v1", command: plugin, interactiveMode: "Never" };
  await Deno.writeTextFile(
    `${node.directory}/kubeconfig`,
    JSON.stringify({
      "current-context": "c",
      clusters: [{ name: "c", cluster: { server: "http://127.0.0.1:1" } }],
      users: [{ name: "u", user: { exec } }],
      contexts: [{ name: "c", context: { cluster: "c", user: "u" } }],
    }),
  );
  await using proxy = startNotified(node, socket, [`--kubeconfig=${node.directory}/kubeconfig`]);
  await proxy.until(() => Deno.stat(seen).then(() => true, () => false), "run of the plugin");
  const environment = await Deno.readTextFile(seen);
  assert.match(environment, /^PATH=/m);
  assert.doesNotMatch(environment, /^(NOTIFY_SOCKET|WATCHDOG_)/m);
});
