import assert from "node:assert/strict";
import type { PresentServer } from "../../../backends/ipvs/servers/diff.ts";
import { ServersInForce } from "../../../backends/ipvs/servers/in_force.ts";
import type { FamilyChange } from "../../../backends/ipvs/update.ts";
import { tableFamilyOf } from "../../../backends/nf_tables/families.ts";
import type { PlanKey } from "../../../core/plan/plan.ts";
import { real, virtual } from "./servers.ts";

const web = { ...virtual("10.96.0.10:80/TCP"), realServers: [real("10.1.0.1:80"), real("10.1.0.2:80", 5)] };
const dns = { ...virtual("10.96.0.11:53/UDP"), realServers: [] };

function change(owner: string, old: PresentServer[], next: PresentServer[]): FamilyChange {
  const compiled = (servers: PresentServer[]) => ({ servers, addresses: [], elements: [] });
  return {
    family: tableFamilyOf("IPv4"),
    key: owner as PlanKey,
    old: compiled(old),
    new: compiled(next),
  };
}

function written(...changes: FamilyChange[]): ServersInForce {
  const servers = new ServersInForce();
  servers.note(changes);
  return servers;
}

Deno.test("a virtual server that someone added is named, those that are gone are counted", () => {
  const servers = written(change("web", [], [web]), change("dns", [], [dns]));
  assert.equal(servers.stray([web, dns]), undefined);
  assert.equal(servers.stray([]), "2 virtual servers were removed");
  assert.equal(servers.stray([web]), "1 virtual server was removed");
  assert.equal(
    servers.stray([web, dns, virtual("10.99.0.1:80/TCP")]),
    "virtual server 10.99.0.1:80/TCP was added",
  );
});

Deno.test("a virtual server that moves to another service port in one batch is that one's, whatever the order", () => {
  const moves = [change("old", [web], []), change("new", [], [web])];
  for (const batch of [moves, moves.toReversed()]) {
    const servers = written(change("old", [], [web]));
    servers.note(batch);
    assert.equal(servers.ownerOf(web), "new");
  }
});

Deno.test("what someone changed of a virtual server or its real servers is seen", () => {
  const servers = written(change("web", [], [web]));
  const [first, second] = [real("10.1.0.1:80"), real("10.1.0.2:80", 5)];
  const seen: Record<string, Partial<PresentServer>> = {
    "a real server removed": { realServers: [first] },
    "a real server added": { realServers: [first, second, real("10.1.0.3:80")] },
    "a real server exchanged": { realServers: [first, real("10.1.0.3:80", 5)] },
    "a weight": { realServers: [first, real("10.1.0.2:80", 4)] },
    "weights exchanged": { realServers: [real("10.1.0.1:80", 5), real("10.1.0.2:80")] },
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

Deno.test("the order of real servers, and those on their way out, are no change", () => {
  const servers = written(change("web", [], [web]));
  const realServers = [...web.realServers.toReversed(), real("10.1.0.9:80", 0)]
    .map((realServer) => ({ ...realServer, isMasqueraded: true }));
  assert.ok(servers.isIntact({ ...web, persistencePrefix: 32, realServers }));
});
