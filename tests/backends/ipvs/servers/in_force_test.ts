import assert from "node:assert/strict";
import type { ActualServer } from "../../../../backends/ipvs/servers/diff.ts";
import { ServersInForce } from "../../../../backends/ipvs/servers/in_force.ts";
import type { FamilyChange } from "../../../../backends/ipvs/update.ts";
import { tableFamilyOf } from "../../../../backends/nf_tables/families.ts";
import type { PlanKey } from "../../../../core/plan/plan.ts";
import { real, virtual } from "../servers.ts";

const web = { ...virtual("10.96.0.10:80/TCP"), realServers: [real("10.1.0.1:80"), real("10.1.0.2:80", 5)] };
const dns = { ...virtual("10.96.0.11:53/UDP"), realServers: [] };

function change(owner: string, old: ActualServer[], next: ActualServer[]): FamilyChange {
  const compiled = (servers: ActualServer[]) => ({ servers, addresses: [], elements: [] });
  return {
    family: tableFamilyOf("IPv4"),
    key: owner as PlanKey,
    old: compiled(old),
    new: compiled(next),
  };
}

function programmed(...changes: FamilyChange[]): ServersInForce {
  const servers = new ServersInForce();
  servers.record(changes);
  return servers;
}

Deno.test("an added virtual server is named, and removed ones are counted", () => {
  const servers = programmed(change("web", [], [web]), change("dns", [], [dns]));
  assert.equal(servers.describeAddedOrRemoved([web, dns]), undefined);
  assert.equal(servers.describeAddedOrRemoved([]), "2 virtual servers were removed");
  assert.equal(servers.describeAddedOrRemoved([web]), "1 virtual server was removed");
  assert.equal(
    servers.describeAddedOrRemoved([web, dns, virtual("10.99.0.1:80/TCP")]),
    "virtual server 10.99.0.1:80/TCP was added",
  );
});

Deno.test("a virtual server that moves to another service port in one batch belongs to that one, in any order", () => {
  const moves = [change("old", [web], []), change("new", [], [web])];
  for (const batch of [moves, moves.toReversed()]) {
    const servers = programmed(change("old", [], [web]));
    servers.record(batch);
    assert.equal(servers.ownerOf(web), "new");
  }
});

Deno.test("changes of a virtual server or its real servers are detected", () => {
  const servers = programmed(change("web", [], [web]));
  const [first, second] = [real("10.1.0.1:80"), real("10.1.0.2:80", 5)];
  const seen: Record<string, Partial<ActualServer>> = {
    "a real server removed": { realServers: [first] },
    "a real server added": { realServers: [first, second, real("10.1.0.3:80")] },
    "a real server replaced": { realServers: [first, real("10.1.0.3:80", 5)] },
    "a weight": { realServers: [first, real("10.1.0.2:80", 4)] },
    "weights swapped": { realServers: [real("10.1.0.1:80", 5), real("10.1.0.2:80")] },
    "a weight of 0": { realServers: [first, real("10.1.0.2:80", 0)] },
    "replies that bypass the node": { realServers: [{ ...first, isMasqueraded: false }, second] },
    "the scheduler": { scheduler: "sh" },
    "persistence": { persistenceSeconds: 10 },
    "flags": { flags: 8 },
    "clients of a network sharing a real server": { persistencePrefix: 24 },
  };
  for (const [what, changed] of Object.entries(seen)) {
    assert.equal(servers.isIntact({ ...web, ...changed }), false, what);
  }
});

Deno.test("the order of real servers, and draining ones, are no change", () => {
  const servers = programmed(change("web", [], [web]));
  const realServers = [...web.realServers.toReversed(), real("10.1.0.9:80", 0)]
    .map((realServer) => ({ ...realServer, isMasqueraded: true }));
  assert.ok(servers.isIntact({ ...web, persistencePrefix: 32, realServers }));
});
