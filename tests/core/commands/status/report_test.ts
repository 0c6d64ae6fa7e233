import assert from "node:assert/strict";
import { isWell, statusRows } from "../../../../core/commands/status/report.ts";
import { sparkline } from "../../../../core/commands/status/sparkline.ts";
import type { Status } from "../../../../core/observe/status/status.ts";

const now = "2026-01-01T01:00:00.000Z";
const at = "2026-01-01T00:59:48.000Z";
const second = Date.parse(now) / 1000;

const healthy: Status = {
  version: "1.0",
  mode: "nftables",
  node: "here",
  startedAt: "2026-01-01T00:00:00.000Z",
  now,
  families: ["IPv4", "IPv6"],
  source: { kind: "API server", connected: true },
  health: { healthy: true, nodeEligible: true },
  objects: { services: 12_000, servicePorts: 12_100, endpoints: 100_000 },
  lastSync: { at, seconds: 0.0012, full: false, changes: 1 },
  traffic: "connections",
  waiting: { services: 0, endpoints: 0 },
  errors: { rejections: { total: 0, first: [] }, invalid: { total: 0, first: [] }, frontendConflicts: 0 },
  repairs: { count: 0, last: [] },
  history: { bucketSeconds: 10, buckets: [] },
};

/** The rows as lines, without colours. */
function lines(status: Status): readonly string[] {
  return statusRows(status).map((row) =>
    row.map((cell) => typeof cell === "string" ? cell : cell.text).join(": ")
  );
}

Deno.test("a healthy proxy is told in eight lines and no errors", () => {
  assert.deepEqual(lines(healthy), [
    "proxy: version 1.0, mode nftables, node here, IPv4 and IPv6, started 60 min ago",
    "health: healthy",
    "source: API server, connected",
    "objects: 12 k Services, 12 k service ports in force, 100 k endpoints",
    "last sync: 1.2 ms, 1 change, 12 s ago",
    "latency: no change of an endpoint yet",
    "waiting: nothing",
    "repairs: none",
    "errors: none",
  ]);
  assert.ok(isWell(healthy));
});

Deno.test("a mode that auto selected is told with the reason", () => {
  const modeReason = "the first of nftables and iptables that can work here";
  assert.deepEqual(
    lines({ ...healthy, modeReason })[1],
    `mode: nftables, selected by --proxy-mode=auto: ${modeReason}`,
  );
});

Deno.test("a mode that relays connections tells how many are open, and how many it saved", () => {
  const relay = { openConnections: 12, udpFlows: 1, retries: 3, failures: 1, avoidedEndpoints: 2 };
  assert.equal(
    lines({ ...healthy, relay })[7],
    "relay: 12 connections and 1 UDP flow open; 3 retries, 1 failed connection; 2 endpoints avoided",
  );
});

Deno.test("loopback addresses are told with the first Services, and those that are not served with the reason", () => {
  const served = (name: string) => ({
    service: `default/${name}`,
    clusterIP: "10.96.0.10",
    address: "127.64.0.10",
    ports: ["80/TCP", "53/UDP"],
  });
  const loopback = {
    range: "127.64.0.0/16",
    hostsFile: "/run/hosts",
    served: { total: 9000, first: ["a", "b", "c", "d", "e", "f"].map(served) },
    notServed: {
      total: 1,
      first: [{
        service: "default/x",
        clusterIP: "10.97.0.10",
        reason: "127.64.0.10 is the address of default/a",
      }],
    },
  };
  const rows = lines({ ...healthy, loopback });
  assert.deepEqual(rows.slice(7, 9), [
    "loopback: 9 k Services on addresses of 127.64.0.0/16",
    ": 127.64.0.10 default/a 80/TCP, 53/UDP",
  ]);
  assert.deepEqual(rows.slice(13, 16), [
    ": 8995 more are served; all are in the output of -o json",
    ": default/x (10.97.0.10) is not served completely: 127.64.0.10 is the address of default/a",
    "hosts file: /run/hosts",
  ]);
  const broken = lines({
    ...healthy,
    loopback: { ...loopback, hostsFileProblem: "cannot write the hosts file" },
  });
  assert.ok(broken.includes("hosts file: cannot write the hosts file"));
});

Deno.test("everything that is wrong is told, with what is tried next", () => {
  const sick: Status = {
    ...healthy,
    source: { kind: "API server", connected: false, lostAt: at },
    health: { healthy: false, nodeEligible: true },
    waiting: { services: 2, endpoints: 3 },
    repairs: { count: 3, last: [{ at, text: "table ip kube-proxy deleted by nft (pid 4711)" }] },
    errors: {
      sync: { at, text: "EPERM from nf_tables" },
      rejections: {
        total: 5,
        first: [{
          servicePort: "default/web:http",
          reason: "EINVAL",
          since: at,
          nextRetry: "2026-01-01T01:00:30.000Z",
        }],
      },
      invalid: {
        total: 3,
        first: [{ object: "Service default/odd", reason: "spec.ports: missing", since: at }],
      },
      frontendConflicts: 1,
      nodePorts: {
        total: 3,
        first: [{
          servicePort: "default/web:http",
          port: 30080,
          reason: "listen on 0.0.0.0:30080/TCP: EADDRINUSE",
        }],
      },
    },
  };
  assert.deepEqual(lines(sick).slice(1).filter((line) => !/^(objects|last sync|latency)/.test(line)), [
    "health: unhealthy: what is desired has not been in force for longer than twice the sync period",
    "source: API server, lost 12 s ago; the last known state stays in force",
    "waiting: 2 changes of Services, 3 of EndpointSlices",
    "repairs: 3, the last one 12 s ago: table ip kube-proxy deleted by nft (pid 4711)",
    "errors: the last sync failed 12 s ago: EPERM from nf_tables",
    ": default/web:http is rejected, next attempt in 30 s: EINVAL",
    ": 4 more service ports are rejected",
    ": Service default/odd became invalid 12 s ago: spec.ports: missing",
    ": 2 more objects are invalid",
    ": 1 frontend of Services held by other Services",
    ": default/web:http is not served on node port 30080, and is tried again: listen on 0.0.0.0:30080/TCP: EADDRINUSE",
    ": 2 more node ports are not served",
  ]);
  assert.ok(!isWell(sick));
  assert.ok(!isWell({ ...healthy, errors: { ...healthy.errors, rejections: { total: 1, first: [] } } }));
});

Deno.test("the syncs of the last ten minutes are a sparkline that begins with the first of them", () => {
  const bucket = { partialSyncs: 1, fullSyncs: 0, changes: 1 };
  const buckets = [
    { ...bucket, at: second - 3000, syncSeconds: 9 },
    { ...bucket, at: second - 40, syncSeconds: 0.004 },
    { ...bucket, at: second, syncSeconds: 0.001 },
  ];
  const [line = ""] = lines({ ...healthy, history: { bucketSeconds: 10, buckets } }).filter((row) =>
    /^last sync/.test(row)
  );
  assert.equal(line, "last sync: 1.2 ms, 1 change, 12 s ago  █▁▁▁▃");
});

Deno.test("a sparkline has one character per value, from 0 to the largest", () => {
  assert.equal(sparkline([0, 1, 2, 4, 7]), "▁▂▃▅█");
  assert.equal(sparkline([0, 0]), "▁▁");
  assert.equal(sparkline([]), "");
});
