import assert from "node:assert/strict";
import { packed, relayedService } from "../../backends/userspace/relay/support/services.ts";
import { dropPacketsTo, keepsLibraries, RelayLab } from "../../integration/userspace/support/relay_lab.ts";
import { echo, exchange, TcpServer } from "../../integration/userspace/support/tcp.ts";

/** Run by relay_test.ts in its own network namespace. */

const ENDPOINTS = 10;
const CONNECTIONS = 10_000;
const CLIENTS = 8;
const HELLO = new TextEncoder().encode("hello");

Deno.test("an endpoint that dies without notice costs no connection in 10,000", keepsLibraries, async () => {
  await using lab = await RelayLab.start();
  const addresses = Array.from({ length: ENDPOINTS }, (_, index) => `10.1.0.${index + 1}`);
  await using servers = new AsyncDisposableStack();
  for (const address of addresses) servers.use(new TcpServer(address, echo));
  await lab.replace(relayedService({ cluster: packed(...addresses.map((address) => `${address}:8080`)) }));
  await using _dead = await dropPacketsTo("10.1.0.5");
  let rest = CONNECTIONS;
  const client = async () => {
    while (rest-- > 0) {
      using connection = await Deno.connect({ hostname: "10.96.0.10", port: 80 });
      assert.deepEqual(await exchange(connection, HELLO), HELLO);
    }
  };
  await Promise.all(Array.from({ length: CLIENTS }, client));
  const { connections, failures, retries } = await lab.counters();
  assert.deepEqual({ connections, failures }, { connections: CONNECTIONS, failures: 0 });
  // At first all clients may try it, later one each time when it is no longer avoided.
  assert(retries >= 1 && retries <= CLIENTS + 10, `${retries} retries`);
});
