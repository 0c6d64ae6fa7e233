import { NftablesBackend } from "../../backends/nftables/backend.ts";
import type { PlanChange } from "../../backends/backend.ts";
import { parseObject } from "../../core/model/parse.ts";
import { loopback } from "../../core/model/address.ts";
import type { PlanKey, ServicePortPlan } from "../../core/model/plan.ts";
import { type PlanContext, planService } from "../../core/model/planner.ts";
import { Store } from "../../core/model/store.ts";
import { NETLINK_NETFILTER } from "../../ffi/netlink/constants.ts";
import { collectBatchErrors } from "../../ffi/netlink/request.ts";
import { NetlinkSocket } from "../../ffi/netlink/socket.ts";
import type { NetlinkTransport } from "../../ffi/netlink/transport.ts";
import { type ClusterSize, serviceObject, sliceObject } from "./cluster.ts";
import { distribution, type Figure, milliseconds, percentile } from "./report.ts";

const context: PlanContext = {
  families: ["IPv4"],
  nodeName: "node-0",
  zone: "zone-0",
  nodeAddresses: loopback,
};

const settings = [{
  family: "IPv4",
  localTraffic: { mode: "none" },
  masqueradeAll: false,
  masqueradeMark: 0x4000,
  nodePorts: "all",
  localhostNodePorts: false,
  serviceCidrs: [],
}] as const;

/** How much of programming is the kernel's part: the same bytes are sent again, prepared, to an empty table. */
export async function measureBackend(size: ClusterSize, changes: number): Promise<readonly Figure[]> {
  const store = clusterStore(size);
  const names = store.inOrderOfAge(store.serviceNames());
  const planning = performance.now();
  const plans = plansOf(store, names);
  const planned = performance.now() - planning;

  let recorder: Recorder | undefined;
  using backend = new NftablesBackend((receiveBuffer) => recorder = new Recorder(receiveBuffer));
  const totals: number[] = [];
  const kernel: number[] = [];
  for (let round = 0; round < 5; round++) {
    await backend.cleanup();
    const started = performance.now();
    await backend.reconcile({ settings, plans });
    totals.push(performance.now() - started);
    await backend.cleanup();
    kernel.push(await sendPrepared(recorder?.largest ?? new Uint8Array()));
  }
  await backend.cleanup();
  await backend.reconcile({ settings, plans });
  const refilling = performance.now();
  await backend.reconcile({ settings, plans });
  const refilled = performance.now() - refilling;

  const single: number[] = [];
  for (let i = 0; i < changes; i++) {
    const change = endpointRemoved(store, plans, names[(i * 7919) % names.length] ?? "", size);
    const started = performance.now();
    await backend.apply([change]);
    single.push(performance.now() - started);
    await backend.apply([{ key: change.key, old: change.new, new: change.old }]);
  }
  const total = percentile(totals, 0.5);
  const prepared = percentile(kernel, 0.5);
  await backend.cleanup();
  return [
    { what: "plan everything", value: milliseconds(planned) },
    { what: "first programming, median of 5", value: milliseconds(total), bar: "well under 1 s" },
    { what: "the kernel alone, same batch prepared", value: milliseconds(prepared) },
    { what: "ratio", value: (total / prepared).toFixed(2), bar: "at most 3" },
    { what: "batch", value: `${((recorder?.largest.length ?? 0) / 2 ** 20).toFixed(1)} MiB` },
    { what: "refill of the full table (restart, repair)", value: milliseconds(refilled) },
    {
      what: "one endpoint removed, apply to committed",
      value: distribution(single),
      bar: "p50 2 ms, p99 10 ms",
    },
  ];
}

function clusterStore(size: ClusterSize): Store {
  const store = new Store(context.nodeName);
  for (let service = 0; service < size.services; service++) {
    for (const raw of [serviceObject(service), sliceObject(service, size)]) put(store, raw);
  }
  return store;
}

function put(store: Store, raw: object): void {
  const parsed = parseObject(raw, (problem) => {
    throw new Error(problem);
  });
  if (!("object" in parsed)) throw new Error("the benchmark's own object is not accepted");
  store.upsert(parsed.object);
}

function plansOf(store: Store, names: readonly string[]): Map<PlanKey, ServicePortPlan> {
  const plans = new Map<PlanKey, ServicePortPlan>();
  for (const name of names) for (const plan of plansOfService(store, name)) plans.set(plan.key, plan);
  return plans;
}

function plansOfService(store: Store, name: string): readonly ServicePortPlan[] {
  const stored = store.get(name);
  return stored === undefined ? [] : planService(stored.service, stored.slices, context);
}

function endpointRemoved(
  store: Store,
  plans: ReadonlyMap<PlanKey, ServicePortPlan>,
  name: string,
  size: ClusterSize,
): PlanChange {
  const index = Number(name.slice(name.lastIndexOf("-") + 1));
  put(store, sliceObject(index, size, { without: index % size.endpoints }));
  const [next] = plansOfService(store, name);
  put(store, sliceObject(index, size));
  const [key] = plansOfService(store, name).map((plan) => plan.key);
  if (key === undefined) throw new Error(`${name} has no plan`);
  return { key, old: plans.get(key), new: next };
}

/** A socket that keeps a copy of the largest message sent. */
class Recorder implements NetlinkTransport {
  largest: Uint8Array<ArrayBuffer> = new Uint8Array();
  readonly #socket: NetlinkSocket;

  constructor(receiveBuffer: number | undefined) {
    this.#socket = NetlinkSocket.open(
      NETLINK_NETFILTER,
      receiveBuffer === undefined ? {} : { receiveBuffer },
    );
  }

  get portId(): number {
    return this.#socket.portId;
  }

  send(message: Uint8Array<ArrayBuffer>): void {
    this.#socket.send(message);
  }

  async sendLarge(message: Uint8Array<ArrayBuffer>): Promise<void> {
    if (message.length > this.largest.length) this.largest = message.slice();
    await this.#socket.sendLarge(message);
  }

  receive = () => this.#socket.receive();
  readable = (timeoutMs: number) => this.#socket.readable(timeoutMs);
  joinGroup = (group: number) => this.#socket.joinGroup(group);
  leaveGroup = (group: number) => this.#socket.leaveGroup(group);
  [Symbol.dispose] = () => this.#socket[Symbol.dispose]();
}

/** Milliseconds that the kernel takes for a batch. */
async function sendPrepared(batch: Uint8Array<ArrayBuffer>): Promise<number> {
  using socket = NetlinkSocket.open(NETLINK_NETFILTER, { sendBuffer: batch.length + 4096 });
  const started = performance.now();
  await socket.sendLarge(batch);
  const taken = performance.now() - started;
  const [error] = collectBatchErrors(socket);
  if (error !== undefined) throw new Error(`the prepared batch was refused: errno ${error.errno}`);
  return taken;
}
