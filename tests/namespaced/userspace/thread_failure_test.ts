import assert from "node:assert/strict";
import type { RelayedService, SharedListener } from "../../../backends/userspace/relay/messages.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { keepsLibraries, RelayLab, setUpAddresses } from "../../integration/userspace/support/relay_lab.ts";
import { close, echo, readAll, TcpServer } from "../../integration/userspace/support/tcp.ts";
import { UdpClient, UdpServer } from "../../integration/userspace/support/udp.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. The process goes on when the thread of the relay has ended. */

const VIP = "10.96.0.10";
const LISTEN = { address: address("127.64.0.1"), port: 8000 };
const WEB = relayedService({ frontends: [frontend(), frontend({ port: 81, listen: LISTEN })] });
const DNS = relayedService({
  key: "default/dns/UDP/IPv4" as PlanKey,
  protocol: "UDP",
  frontends: [frontend({ port: 53 })],
  cluster: packed("10.1.0.1:5353"),
});
/** The thread fails when it reads it. No correct message does that. */
const UNREADABLE = { ...WEB, frontends: undefined } as unknown as RelayedService;

Deno.test("a thread that fails resets its connections and closes its sockets", keepsLibraries, async () => {
  await setUpAddresses();
  await using server = new TcpServer("10.1.0.1", echo);
  using _dns = await UdpServer.bind("dns", "10.1.0.1");
  using asker = await UdpClient.bind("192.0.2.1");
  const before = await sockets();
  const lab = await RelayLab.start({ udpIdleMs: 60_000 });
  await lab.replace(WEB, DNS);
  const clients = [
    await Deno.connect({ hostname: VIP, port: 80 }),
    await Deno.connect({ hostname: "127.64.0.1", port: 8000 }),
  ];
  await until(() => server.accepted === 2);
  assert.match(await asker.ask("a", VIP, 53) ?? "no answer", /^dns: a/);
  await assert.rejects(lab.relay.update([UNREADABLE], []), /the relay has ended/);
  let resets = 0;
  for (const client of clients) {
    void readAll(client).catch((error) => {
      if (error instanceof Deno.errors.ConnectionReset) resets++;
    }).finally(() => close(client));
  }
  await until(() => resets === clients.length);
  assert.deepEqual(await sockets(), before);
});

Deno.test("a thread that cannot start leaves no sockets open", keepsLibraries, async () => {
  const before = await sockets();
  const good: SharedListener = { family: "IPv4", protocol: "TCP", side: "inside", port: 0 };
  const bad = { ...good, family: "IPX" } as unknown as SharedListener;
  await assert.rejects(RelayLab.start({ sharedListeners: [good, bad] }), /the relay has ended/);
  assert.deepEqual(await sockets(), before);
});

/** The sockets of this namespace but for ended connections, which the kernel keeps for a minute. */
async function sockets(): Promise<readonly string[]> {
  const all = await run("ss", "-tuanH", "exclude", "time-wait");
  return all.split("\n").filter((line) => line !== "").toSorted();
}
