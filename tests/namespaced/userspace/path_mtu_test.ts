import assert from "node:assert/strict";
import type { PlanKey } from "../../../core/plan/plan.ts";
import {
  address,
  frontend,
  packed,
  relayedService,
} from "../../backends/userspace/relay/support/services.ts";
import { NarrowPath } from "../../integration/userspace/support/narrow_path.ts";
import { keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { askConnected, UdpClient } from "../../integration/userspace/support/udp.ts";
import { until } from "../../integration/userspace/support/until.ts";

/** Run by relay_test.ts in its own network namespace. */

const SERVICES = { IPv4: "10.96.0.10", IPv6: "fd00:96::10" } as const;
const CLIENTS = { IPv4: "192.0.2.1", IPv6: "2001:db8::1" } as const;
/** Fits into the first link, and not into the second one. */
const LONG = "x".repeat(1400);
const SLOW = { udpIdleMs: 60_000 };

for (const family of ["IPv4", "IPv6"] as const) {
  const vip = SERVICES[family];
  const dns = relayedService({
    key: `default/dns/UDP/${family}` as PlanKey,
    family,
    protocol: "UDP",
    frontends: [frontend({ address: address(vip), port: 53 })],
    cluster: packed(`${NarrowPath.endpoints[family]}:5353`),
  });

  Deno.test(
    `a question that is too long for the path is sent again (${family})`,
    keepsLibraries,
    async () => {
      await using lab = await RelayLab.start(SLOW);
      await using path = await NarrowPath.make();
      await lab.replace(dns);
      assert.equal(await path.isKnown(family), false);
      assert.equal(await askConnected(LONG, vip, 53), `far: ${LONG}`);
      assert(await path.isKnown(family));
      assert.deepEqual((await lab.report()).avoidedEndpoints, []);
      const { failures, retries } = await lab.counters();
      assert.deepEqual({ failures, retries, warnings: lab.warnings }, {
        failures: 0,
        retries: 0,
        warnings: [],
      });
    },
  );

  Deno.test(
    `a flow survives a datagram that is too long for the path (${family})`,
    keepsLibraries,
    async () => {
      await using lab = await RelayLab.start(SLOW);
      await using path = await NarrowPath.make();
      await lab.replace(dns);
      using client = await UdpClient.bind(CLIENTS[family]);
      assert.equal(await client.ask("short", vip, 53), `far: short from ${vip}:53`);
      await client.tell(LONG, vip, 53);
      await until(() => path.isKnown(family));
      for (const text of ["short", LONG]) {
        assert.equal(await client.ask(text, vip, 53), `far: ${text} from ${vip}:53`);
      }
      assert.deepEqual((await lab.report()).avoidedEndpoints, []);
      const { connections, failures } = await lab.counters();
      assert.deepEqual({ connections, failures }, { connections: 1, failures: 0 });
    },
  );
}
