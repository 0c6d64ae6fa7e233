import assert from "node:assert/strict";
import { libbpf } from "../../../ffi/libbpf.ts";
import { libc } from "../../../ffi/libc.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { census, type Counted } from "./churn/census.ts";
import { type Asked, askOnce, Client, shortLivedPod } from "./churn/clients.ts";
import { passing, staying, targets } from "./churn/services.ts";

// Libraries stay open, and a test must not be the first to use them.
libbpf();
libc();

/** CHURN_SECONDS=3600 is the long form. */
const seconds = Number(Deno.env.get("CHURN_SECONDS") ?? 30);

/** New connections a second of each of the clients. */
const RATE = 30;
/** Of those that packets show: clients outside, in pods out of the cgroup, and now and then in a short-lived pod. */
const FLOWS_PER_SECOND = 3 * RATE;
/** The longest that one is remembered: an answered UDP flow, until the next look at it. */
const FLOW_SECONDS = 120 + 30 + 10;

const room = { frontends: 1024, endpoints: 8192, connections: 65_536, clients: 1024 };
const flags = [
  "--nodeport-addresses=192.168.8.0/24,fd00:8::/64",
  ...Object.entries(room).map(([name, count]) => `--ebpf-most-${name}=${count}`),
];

/** Most that the proxy's memory may grow by, in MiB; what V8 has not looked at yet counts. */
const GROWTH_MIB = 16;

// An emulated machine cannot keep up the rate.
const ignore = slowness > 1;
Deno.test(`${seconds} seconds of connections, services and pods that come and go leave nothing behind`, {
  ignore,
}, async () => {
  await using lab = await Lab.create(true);
  const manifests = await Deno.makeTempDir();
  try {
    await write(manifests, "staying", staying());
    await using proxy = new ProxyProcess(lab, manifests, "ebpf", flags);
    const all = [...targets.clusterIPs, ...targets.others];
    await until("the services", () => answers(lab, all));
    await churn(lab, manifests, 2, () => {});
    await settled(lab, manifests, all);
    const before = resources(lab, proxy);
    assert.equal(before.maps.get("counters")?.entries, targets.clusterIPs.length);

    const samples: Resources[] = [];
    const asked = await churn(lab, manifests, seconds, () => {
      proxy.assertRunning();
      const now = resources(lab, proxy);
      assertBounded(now);
      samples.push(now);
    });
    await settled(lab, manifests, all);
    const after = resources(lab, proxy);

    report(asked, samples, before, after);
    const failures = asked.flatMap((client) => Object.entries(client.failures));
    assert.deepEqual(failures, []);
    for (const name of keptExactly) assert.deepEqual(after.maps.get(name), before.maps.get(name), name);
    for (const [name, { bytes }] of before.maps) {
      assert.equal(after.maps.get(name)?.bytes, bytes, `bytes of ${name}`);
    }
    assert.deepEqual(after.pinned, before.pinned);
    assert(after.files <= before.files, `${after.files} open files, ${before.files} before`);
    assert(after.mebibytes <= before.mebibytes + GROWTH_MIB, `${after.mebibytes} MiB`);
  } finally {
    await Deno.remove(manifests, { recursive: true });
  }
});

/** What the proxy writes, or counts of its services: the same as before when the services are. */
const keptExactly = [
  "services",
  "counters",
  "source_ranges",
  "service_cidrs",
  "node_addresses",
  "devices",
];

/** Connections from everywhere, while endpoints and services change and pods come and go. */
async function churn(
  lab: Lab,
  manifests: string,
  duration: number,
  sample: () => void,
): Promise<readonly Asked[]> {
  const { cgroup } = lab.ebpfMounts;
  const everything = [...targets.clusterIPs, ...targets.others];
  const clients = [
    new Client(lab, "outside", RATE, everything),
    new Client(lab, "pod-c", RATE, everything),
    new Client(lab, "pod-a", RATE, everything, cgroup),
    new Client(lab, "node", RATE, everything, cgroup),
  ];
  const deadline = performance.now() + duration * 1000;
  const left = () => performance.now() < deadline;
  const asked: Asked[] = [];
  await Promise.all([
    every(300, left, async (turn) => {
      await write(manifests, "staying", staying(1 + turn % 15));
      await write(manifests, `passing-${turn % 8}`, passing(2 * turn).objects);
    }),
    every(2000, left, async (turn) => {
      const { objects, target } = passing(2 * turn + 1);
      await write(manifests, "passing-visited", objects);
      await until(`an answer of ${target}`, () => answers(lab, [target]));
      const visitor = turn % 2 === 0 ? cgroup : "-";
      asked.push(await shortLivedPod(lab, turn, [...targets.clusterIPs, target], visitor));
    }),
    every(Math.max(1000, duration * 10), left, () => Promise.resolve(sample())),
  ]);
  return [...asked, ...await Promise.all(clients.map((client) => client.stop()))];
}

async function every(
  milliseconds: number,
  left: () => boolean,
  body: (turn: number) => Promise<void>,
): Promise<void> {
  for (let turn = 1; left(); turn++) {
    const next = performance.now() + milliseconds;
    await body(turn);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
  }
}

/** Only the services that stay, each with a connection. */
async function settled(lab: Lab, manifests: string, all: readonly string[]): Promise<void> {
  for (const { name } of [...Deno.readDirSync(manifests)]) {
    if (name.startsWith("passing")) await Deno.remove(`${manifests}/${name}`);
  }
  await write(manifests, "staying", staying());
  const frontends = all.length + targets.clusterIPs.length;
  await until(
    "the end of the others",
    () => Promise.resolve(census(mapsOf(lab)).get("services")?.entries === frontends),
  );
  await until("the end of the pods", async () => {
    const present = await deviceIndexes(lab);
    const isPresent = (pin: string) =>
      !/^(ingress|egress)-/.test(pin) || present.has(pin.replace(/^.*-/, ""));
    return pinned(lab).every(isPresent) && census(mapsOf(lab)).get("devices")?.entries === present.size;
  });
  await askOnce(lab, "outside", all);
}

async function deviceIndexes(lab: Lab): Promise<ReadonlySet<string>> {
  const { stdout } = await lab.run("node", ["ip", "-j", "link", "show"]);
  const links: readonly { readonly ifindex: number }[] = JSON.parse(stdout);
  return new Set(links.map(({ ifindex }) => `${ifindex}`));
}

async function answers(lab: Lab, all: readonly string[]): Promise<boolean> {
  try {
    await askOnce(lab, "outside", all);
    return true;
  } catch (error) {
    if (error instanceof assert.AssertionError) return false;
    throw error;
  }
}

interface Resources {
  readonly maps: ReadonlyMap<string, Counted>;
  readonly pinned: readonly string[];
  readonly files: number;
  /** Resident. */
  readonly mebibytes: number;
}

function resources(lab: Lab, { pid }: ProxyProcess): Resources {
  const status = Deno.readTextFileSync(`/proc/${pid}/status`);
  return {
    maps: census(mapsOf(lab)),
    pinned: pinned(lab),
    files: [...Deno.readDirSync(`/proc/${pid}/fd`)].length,
    mebibytes: Math.round(Number(/^VmRSS:\s+(\d+)/m.exec(status)?.[1]) / 1024),
  };
}

function pinned(lab: Lab): readonly string[] {
  return [...Deno.readDirSync(`${directoryOf(lab)}/links`)].map(({ name }) => name).sort();
}

function directoryOf(lab: Lab): string {
  const { bpffs } = lab.ebpfMounts;
  const [version] = [...Deno.readDirSync(bpffs)];
  assert(version !== undefined);
  return `${bpffs}/${version.name}`;
}

function mapsOf(lab: Lab): string {
  return `${directoryOf(lab)}/maps`;
}

/** At every moment. */
function assertBounded({ maps }: Resources): void {
  for (const [name, { entries = 0, room }] of maps) assert(entries <= room, `${name}: ${entries} of ${room}`);
  const flows = (maps.get("conntrack")?.entries ?? 0) / 2;
  assert(flows <= FLOWS_PER_SECOND * FLOW_SECONDS, `${flows} flows are remembered`);
}

function report(
  asked: readonly Asked[],
  samples: readonly Resources[],
  before: Resources,
  after: Resources,
): void {
  const connections = asked.reduce((sum, { answered }) => sum + answered, 0);
  const ended = asked.reduce((sum, { ended }) => sum + ended, 0);
  console.log(`${connections} connections in ${seconds} seconds; ${ended} sockets were ended`);
  const [half, last] = [samples[samples.length >> 1], samples.at(-1)];
  const columns = { before, "after half of it": half, "at its end": last, "when settled": after };
  for (const [name, { room, bytes }] of before.maps) {
    const entries = Object.entries(columns).map(([when, { maps } = before]) =>
      `${maps.get(name)?.entries ?? "-"} ${when}`
    );
    console.log(`${name}, room for ${room}, ${bytes} bytes: ${entries.join(", ")}`);
  }
  for (const what of ["files", "mebibytes"] as const) {
    console.log(
      `${what}: ${
        Object.entries(columns).map(([when, sample = before]) => `${sample[what]} ${when}`).join(", ")
      }`,
    );
  }
}

async function write(directory: string, name: string, objects: readonly object[]): Promise<void> {
  const text = JSON.stringify({ apiVersion: "v1", kind: "List", items: objects });
  await Deno.writeTextFile(`${directory}/.${name}`, text);
  await Deno.rename(`${directory}/.${name}`, `${directory}/${name}.json`);
}

async function until(what: string, holds: () => Promise<boolean>): Promise<void> {
  for (const deadline = Date.now() + 30_000; !await holds();) {
    assert(Date.now() < deadline, `${what} did not come about`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
