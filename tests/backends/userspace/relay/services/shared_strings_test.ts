import assert from "node:assert/strict";
import { withSharedStrings } from "../../../../../backends/userspace/relay/services/shared_strings.ts";
import { address, frontend, packed, relayedService } from "../support/services.ts";

Deno.test("a service with shared strings is equal to the one that was received", () => {
  const service = relayedService({
    protocol: "UDP",
    frontends: [
      frontend({ inside: "local", outside: "none" }),
      frontend({
        kind: "NodePort",
        address: undefined,
        listen: { address: address("0.0.0.0"), port: 30080 },
      }),
      frontend({ kind: "ExternalIP" }),
      frontend({ kind: "LoadBalancerIP" }),
    ],
    local: packed("10.1.0.1:53"),
    serving: packed("10.1.0.2:53"),
    affinitySeconds: 10,
    proxyProtocol: true,
  });
  assert.deepEqual(withSharedStrings(structuredClone(service)), service);
});
