import assert from "node:assert/strict";
import { libbpf } from "../../../ffi/libraries/libbpf.ts";
import { libc } from "../../../ffi/libraries/libc.ts";
import { Lab } from "../../lab/lab.ts";
import { slowness } from "../../lab/pace.ts";
import { ProxyProcess } from "../../lab/proxy.ts";
import { census, type MapUsage } from "./support/churn/census.ts";
import { Client, type ClientReport, connectOnce, runShortLivedPod } from "./support/churn/clients.ts";
import { permanentServices, targets, temporaryService } from "./support/churn/services.ts";

// Open the libraries before the test, because they stay open and the sanitizer would report them.
libbpf();
libc();

/** CHURN_SECONDS=3600 is the long run. */
const SECONDS = Number(Deno.env.get("CHURN_SECONDS") ?? 30);

/** New connections per second and client. */
const RATE = 30;
/**
 * New flows per second, of clients whose packets are balanced: outside, in a pod outside the cgroup, in
 * short-lived pods.
 */
const FLOWS_PER_SECOND = 3 * RATE;
/** Longest time that a flow is kept: an answered UDP flow, until it is visited. */
const FLOW_SECONDS = 120 + 30 + 10;

const CAPACITY = { frontends: 1024, endpoints: 8192, connections: 65_536, clients: 1024 };
const FLAGS = [
  "--nodeport-addresses=192.168.8.0/24,fd00:8::/64",
  ...Object.entries(CAPACITY).map(([name, count]) => `--ebpf-max-${name}=${count}`),
];

/** Maximum growth of the proxy's resident memory, in MiB; includes garbage that V8 has not collected yet. */
const GROWTH_MIB = 16;

// An emulated machine cannot keep the rate.
const ignore = slowness > 1;
Deno.test(`${SECONDS} seconds of short-lived connections, services and pods leave nothing behind`, {
  ignore,
}, async () => {
  await using lab = await Lab.create(true);
  const manifests = await Deno.makeTempDir();
  try {
    await write(manifests, "permanent", permanentServices());
    await using proxy = new ProxyProcess(lab, manifests, "ebpf", FLAGS);
    const all = [...targets.clusterIPs, ...targets.others];
    await until("all services to answer", () => answers(lab, all));
    await churn(lab, manifests, 2, () => {});
    await settle(lab, manifests, all);
    const before = resources(lab, proxy);
    assert.equal(before.maps.get("counters")?.entries, all.length);

    const samples: Resources[] = [];
    const reports = await churn(lab, manifests, SECONDS, () => {
      proxy.assertRunning();
      const now = resources(lab, proxy);
      assertBounded(now);
      samples.push(now);
    });
    await settle(lab, manifests, all);
    const after = resources(lab, proxy);

    print(reports, samples, before, after);
    const failures = reports.flatMap((client) => Object.entries(client.failures));
    assert.deepEqual(failures, []);
    for (const name of UNCHANGED_MAPS) assert.deepEqual(after.maps.get(name), before.maps.get(name), name);
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

/** Maps that are equal before and after, because the proxy writes them, or counts its services in them. */
const UNCHANGED_MAPS = [
  "services",
  "counters",
  "source_ranges",
  "service_cidrs",
  "node_addresses",
  "devices",
];

/** Opens connections from every client while endpoints and services change and pods come and go. */
async function churn(
  lab: Lab,
  manifests: string,
  duration: number,
  sample: () => void,
): Promise<readonly ClientReport[]> {
  const { cgroup } = lab.ebpfMounts;
  const everything = [...targets.clusterIPs, ...targets.others];
  const clients = [
    new Client(lab, "outside", RATE, everything),
    new Client(lab, "pod-c", RATE, everything),
    new Client(lab, "pod-a", RATE, everything, cgroup),
    new Client(lab, "node", RATE, everything, cgroup),
  ];
  const deadline = performance.now() + duration * 1000;
  const isRunning = () => performance.now() < deadline;
  const reports: ClientReport[] = [];
  await Promise.all([
    every(300, isRunning, async (turn) => {
      await write(manifests, "permanent", permanentServices(1 + turn % 15));
      await write(manifests, `temporary-${turn % 8}`, temporaryService(2 * turn).objects);
    }),
    every(2000, isRunning, async (turn) => {
      const { objects, target } = temporaryService(2 * turn + 1);
      await write(manifests, "temporary-connected", objects);
      await until(`${target} to answer`, () => answers(lab, [target]));
      const podCgroup = turn % 2 === 0 ? cgroup : "-";
      reports.push(await runShortLivedPod(lab, turn, [...targets.clusterIPs, target], podCgroup));
    }),
    every(Math.max(1000, duration * 10), isRunning, () => Promise.resolve(sample())),
  ]);
  return [...reports, ...await Promise.all(clients.map((client) => client.stop()))];
}

async function every(
  milliseconds: number,
  isRunning: () => boolean,
  body: (turn: number) => Promise<void>,
): Promise<void> {
  for (let turn = 1; isRunning(); turn++) {
    const next = performance.now() + milliseconds;
    await body(turn);
    await new Promise((resolve) => setTimeout(resolve, Math.max(0, next - performance.now())));
  }
}

/**
 * Removes the temporary services, waits until everything of them is gone, and connects to the others once.
 */
async function settle(lab: Lab, manifests: string, all: readonly string[]): Promise<void> {
  for (const { name } of [...Deno.readDirSync(manifests)]) {
    if (name.startsWith("temporary")) await Deno.remove(`${manifests}/${name}`);
  }
  await write(manifests, "permanent", permanentServices());
  const frontends = all.length + targets.clusterIPs.length;
  await until(
    "the temporary services to be removed",
    () => Promise.resolve(census(mapsOf(lab)).get("services")?.entries === frontends),
  );
  await until("the devices of pods to be removed", async () => {
    const present = await deviceIndexes(lab);
    const isPresent = (pin: string) =>
      !/^(ingress|egress)-/.test(pin) || present.has(pin.replace(/^.*-/, ""));
    return pinned(lab).every(isPresent) && census(mapsOf(lab)).get("devices")?.entries === present.size;
  });
  await connectOnce(lab, "outside", all);
}

async function deviceIndexes(lab: Lab): Promise<ReadonlySet<string>> {
  const { stdout } = await lab.run("node", ["ip", "-j", "link", "show"]);
  const links: readonly { readonly ifindex: number }[] = JSON.parse(stdout);
  return new Set(links.map(({ ifindex }) => `${ifindex}`));
}

async function answers(lab: Lab, all: readonly string[]): Promise<boolean> {
  try {
    await connectOnce(lab, "outside", all);
    return true;
  } catch (error) {
    if (error instanceof assert.AssertionError) return false;
    throw error;
  }
}

interface Resources {
  readonly maps: ReadonlyMap<string, MapUsage>;
  readonly pinned: readonly string[];
  readonly files: number;
  /** Resident memory. */
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

/** Checks limits that hold at any time. */
function assertBounded({ maps }: Resources): void {
  for (const [name, { entries = 0, capacity }] of maps) {
    assert(entries <= capacity, `${name}: ${entries} of ${capacity}`);
  }
  const flows = (maps.get("conntrack")?.entries ?? 0) / 2;
  assert(flows <= FLOWS_PER_SECOND * FLOW_SECONDS, `${flows} flows are kept`);
}

function print(
  reports: readonly ClientReport[],
  samples: readonly Resources[],
  before: Resources,
  after: Resources,
): void {
  const connections = reports.reduce((sum, { answered }) => sum + answered, 0);
  const ended = reports.reduce((sum, { ended }) => sum + ended, 0);
  console.log(`${connections} connections in ${SECONDS} seconds; ${ended} sockets were ended`);
  const [half, last] = [samples[samples.length >> 1], samples.at(-1)];
  const columns = { before, "at half time": half, "at the end": last, "when settled": after };
  for (const [name, { capacity, bytes }] of before.maps) {
    const entries = Object.entries(columns).map(([when, { maps } = before]) =>
      `${maps.get(name)?.entries ?? "-"} ${when}`
    );
    console.log(`${name}, capacity ${capacity}, ${bytes} bytes: ${entries.join(", ")}`);
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
    assert(Date.now() < deadline, `timed out waiting for ${what}`);
    await new Promise((resolve) => setTimeout(resolve, 100));
  }
}
