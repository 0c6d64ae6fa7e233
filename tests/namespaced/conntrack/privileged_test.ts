import assert from "node:assert/strict";
import { CTA_ID, IPS_SEEN_REPLY } from "../../../backends/conntrack/ctnetlink.ts";
import type { Flow } from "../../../backends/conntrack/flow.ts";
import type { DumpFilter } from "../../../backends/conntrack/messages.ts";
import { ConntrackReconciler } from "../../../backends/conntrack/reconciler.ts";
import { sweepConntrack } from "../../../backends/conntrack/table.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { silentLog } from "../../core/observe/log/silent_log.ts";
import { attribute } from "../../../ffi/netlink/reader.ts";
import { NFGENMSG_BYTES } from "../../../ffi/netlink/nfnetlink.ts";
import { AF_INET, AF_INET6, IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";
import { planOf, settingsOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Run by conntrack_test.ts in its own network namespace. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

/** An entry as arguments of `conntrack -I`. The port of the client identifies it. */
function udp(port: number, to: string, by = to, options = ""): string {
  const [client, answer] = to.includes(":") ? ["2001:db8::1", "2001:db8::1"] : ["192.0.2.1", "192.0.2.1"];
  return `-I -p udp -s ${client} -d ${to} --sport ${port} --dport 53 -r ${by} -q ${answer} ` +
    `--reply-port-src 53 --reply-port-dst ${port} -t 100 ${options}`;
}

function tcp(port: number, to: string, options = ""): string {
  return `-I -p tcp -s 192.0.2.1 -d ${to} --sport ${port} --dport 53 --state SYN_SENT -t 100 ${options}`;
}

async function insert(...entries: readonly string[]): Promise<void> {
  await run("conntrack", "-F");
  const file = await Deno.makeTempFile();
  try {
    await Deno.writeTextFile(file, entries.map((entry) => entry + "\n").join(""));
    await run("conntrack", "--load-file", file);
  } finally {
    await Deno.remove(file);
  }
}

/** Client ports of the remaining entries. */
async function remaining(): Promise<number[]> {
  const listing = await run("conntrack", "-L");
  const ports = [...listing.matchAll(/^(?:udp|tcp).*? sport=(\d+) /gm)].map(([, port]) => Number(port));
  return ports.sort((a, b) => a - b);
}

async function portsIn(filter: DumpFilter): Promise<number[]> {
  const ports: number[] = [];
  const sweep = await sweepConntrack(filter, (flow) => {
    ports.push(flow.sourcePort);
    return false;
  });
  assert.equal(sweep.examined, ports.length, "the kernel filters, not the program");
  return ports.sort((a, b) => a - b);
}

Deno.test("the kernel filters by family, protocol and status", keepsLibraries, async () => {
  await insert(
    udp(1001, "10.96.0.10"),
    udp(1002, "10.96.0.10", "10.1.0.1", "-u SEEN_REPLY"),
    udp(1003, "fd00:96::a", "fd00:1::1"),
    tcp(1004, "10.96.0.10"),
    tcp(1005, "10.96.0.10", "-u SEEN_REPLY"),
  );
  assert.deepEqual(await portsIn({ family: AF_INET, protocol: IPPROTO_UDP }), [1001, 1002]);
  assert.deepEqual(await portsIn({ family: AF_INET6, protocol: IPPROTO_UDP }), [1003]);
  assert.deepEqual(await portsIn({ family: AF_INET, protocol: IPPROTO_TCP }), [1004, 1005]);
  const status = { mask: IPS_SEEN_REPLY, value: 0 };
  assert.deepEqual(await portsIn({ family: AF_INET, protocol: IPPROTO_TCP, status }), [1004]);
  assert.deepEqual(await portsIn({ family: AF_INET }), [1001, 1002, 1004, 1005]);
});

Deno.test("exactly the chosen entry is deleted, also in a zone", keepsLibraries, async () => {
  // One tuple in the default zone and again in another zone.
  await insert(
    udp(1001, "10.96.0.10"),
    udp(1001, "10.96.0.10", "10.96.0.10", "-w 7"),
    udp(1002, "10.96.0.10"),
  );
  const inZone = (flow: Flow) => flow.zone === 7;
  const filter = { family: AF_INET, protocol: IPPROTO_UDP };
  assert.deepEqual(await sweepConntrack(filter, inZone), { examined: 3, deleted: 1, rejection: undefined });
  assert.deepEqual(await remaining(), [1001, 1002]);
  assert.doesNotMatch(await run("conntrack", "-L"), /zone=7/);
  const one = await sweepConntrack(filter, (flow) => flow.sourcePort === 1001);
  assert.equal(one.deleted, 1);
  assert.deepEqual(await remaining(), [1002]);
});

Deno.test("an entry with another id is not deleted", keepsLibraries, async () => {
  await insert(udp(1001, "10.96.0.10"));
  const sweep = await sweepConntrack({ family: AF_INET }, ({ payload }) => {
    const id = attribute(payload, CTA_ID, NFGENMSG_BYTES)?.bytes;
    assert.ok(id !== undefined);
    id[0] = (id[0] ?? 0) ^ 1;
    return true;
  });
  assert.deepEqual(sweep, { examined: 1, deleted: 0, rejection: undefined });
  assert.deepEqual(await remaining(), [1001]);
});

Deno.test("a table of many datagrams is swept, with half of it stale", keepsLibraries, async () => {
  const entries = 20_000;
  await insert(...Array.from({ length: entries }, (_, index) => {
    return udp(1024 + index, "10.96.0.10", index % 2 === 0 ? "10.1.0.1" : "10.1.0.2");
  }));
  let turns = 0;
  const other = setInterval(() => turns++, 1);
  const sweep = await sweepConntrack(
    { family: AF_INET, protocol: IPPROTO_UDP },
    (flow) => formatAddress(flow.replySource) === "10.1.0.2",
  );
  clearInterval(other);
  // A deletion during the dump makes the kernel start a bucket again, never skip one.
  assert.ok(sweep.examined >= entries, `${sweep.examined} examined`);
  assert.equal(sweep.deleted, entries / 2);
  assert.equal((await remaining()).length, entries / 2);
  assert.ok(turns > 0, "other work ran meanwhile");
});

Deno.test(
  "a sync removes exactly the entries that the change made stale, in both families",
  keepsLibraries,
  async () => {
    const dns = { name: "dns", protocol: "UDP", portName: "" } as const;
    const v4 = planOf({ ...dns, clusterIP: "10.96.0.10:53", nodePort: 30053, endpoints: ["10.1.0.1:53"] });
    const v6 = planOf({ ...dns, clusterIP: "[fd00:96::a]:53", endpoints: ["[fd00:1::1]:53"] });
    const before = [v4, v6].map((plan) => ({ key: plan.key, old: undefined, new: plan }));
    await insert(
      udp(1001, "10.96.0.10", "10.1.0.1", "-u SEEN_REPLY"),
      udp(1002, "10.96.0.10", "10.1.0.2", "-u SEEN_REPLY"),
      udp(1003, "fd00:96::a", "fd00:1::1"),
      udp(1004, "fd00:96::a", "fd00:1::2"),
      udp(1005, "10.96.0.11", "10.1.0.2"),
      tcp(1006, "10.96.0.10"),
      udp(1007, "10.96.0.10"),
    );
    const deleted: string[] = [];
    const reconciler = new ConntrackReconciler({
      log: silentLog,
      nodeAddresses: () => [],
      relaySockets: () => [],
      observer: {
        conntrackReconciled: (pass) => deleted.push(`${pass.family} ${pass.deleted}`),
        conntrackFailed: () => assert.fail(),
      },
    });
    const desired = {
      settings: [settingsOf("IPv4"), settingsOf("IPv6")],
      plans: new Map([v4, v6].map((plan) => [plan.key, plan])),
    };
    reconciler.synced({ desired, changes: before, full: true });
    await reconciler.idle();
    assert.deepEqual(await remaining(), [1001, 1003, 1005, 1006]);
    assert.deepEqual(deleted, ["IPv4 2", "IPv6 1"]);

    desired.plans.delete(v4.key);
    reconciler.synced({ desired, changes: [{ key: v4.key, old: v4, new: undefined }], full: false });
    await reconciler.idle();
    assert.deepEqual(await remaining(), [1003, 1005, 1006]);
  },
);
