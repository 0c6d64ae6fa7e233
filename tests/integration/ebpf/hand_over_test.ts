import assert from "node:assert/strict";
import { addressOf, settingsOf } from "../../backends/plans.ts";
import { planOf } from "../../backends/ebpf/plans.ts";
import { BackendProcess } from "../support/backend_process.ts";
import { OtherVersion } from "./support/other_version.ts";
import { Outside } from "./support/sockets/outside.ts";
import { withScene } from "./support/sockets/scene.ts";

const NODE = "10.1.0.1";
const endpoints = ["10.1.0.2:8080@here", "10.1.0.3:8080@here"];
const plans = [
  planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080, endpoints }),
  planOf({ name: "dns", protocol: "UDP", clusterIP: "10.96.0.53:53", nodePort: 30053, endpoints }),
];
const settings = [
  settingsOf("IPv4", { interfaceAddresses: [addressOf(NODE)], nodePorts: [addressOf(NODE)] }),
];

Deno.test("flows of another version of the programs survive a change to mode nftables", async () => {
  await using other = await OtherVersion.make();
  await withScene(async ({ node }) => {
    await using outside = await Outside.make(node);
    await using before = node.startBackend({}, other.wrapper);
    await before.reconcile(plans, settings);
    const kept = [
      await outside.sockets.keep("tcp", NODE, 30080),
      await outside.sockets.keep("udp", NODE, 30053, { protocol: "UDP" }),
    ];
    await before[Symbol.asyncDispose]();
    await using nftables = new BackendProcess("nftables", node.network);
    await nftables.reconcile(plans, settings);
    await using leaving = node.startBackend();
    assert.deepEqual(await leaving.cleanup(), []);
    await assert.rejects(Deno.stat(node.bpffs), Deno.errors.NotFound);
    assert.deepEqual([await outside.sockets.ask("tcp"), await outside.sockets.ask("udp")], kept);
    await outside.sockets.connect(NODE, 30080);
  });
});

Deno.test("without CAP_SYS_ADMIN, a warning says that flows of another version end", async () => {
  await using other = await OtherVersion.make();
  await withScene(async ({ node }) => {
    await using before = node.startBackend({}, other.wrapper);
    await before.reconcile(plans, settings);
    await before[Symbol.asyncDispose]();
    await using leaving = node.startBackend({}, [
      "setpriv",
      "--bounding-set=-sys_admin",
      "--inh-caps=-sys_admin",
    ]);
    const warnings = await leaving.cleanup();
    assert.match(
      warnings.join(),
      /connections from outside .* end: .*EPERM.*CAP_SYS_ADMIN if another version/,
    );
  });
});
