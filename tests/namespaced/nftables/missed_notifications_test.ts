import assert from "node:assert/strict";
import { NftablesBackend } from "../../../backends/nftables/backend.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NetlinkSocket } from "../../../ffi/netlink/socket.ts";
import type { NetlinkSocketOptions, NetlinkTransport } from "../../../ffi/netlink/transport.ts";
import { everyKindOfPlan, everyKindOfSettings } from "../../backends/everything.ts";
import { desiredOf, planOf, settingsOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Run by missed_notifications_test.ts in its own network namespace. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

/** A backend whose watch can be made to miss notifications. */
class Subject implements Disposable {
  readonly backend: NftablesBackend;
  reports = 0;
  #watched: LossyTransport | undefined;
  readonly #watch: Disposable;

  constructor() {
    this.backend = new NftablesBackend((protocol, options) => this.#open(protocol, options));
    this.#watch = this.backend.watch(() => this.reports++);
  }

  /** Makes the watch miss notifications, and waits for the report. */
  async miss(): Promise<void> {
    const before = this.reports;
    if (this.#watched !== undefined) this.#watched.isToMiss = true;
    // A change of another table wakes the watch.
    await run("nft", "add", "table", "inet", "foreign");
    await run("nft", "delete", "table", "inet", "foreign");
    while (this.reports === before || this.#watched?.isToMiss === true) {
      await new Promise((resolve) => setTimeout(resolve, 2));
    }
  }

  [Symbol.dispose](): void {
    this.#watch[Symbol.dispose]();
    this.backend[Symbol.dispose]();
  }

  #open(protocol: number, options?: NetlinkSocketOptions): NetlinkTransport {
    const socket = new LossyTransport(NetlinkSocket.open(protocol, options));
    // Only a watch has a buffer of its own size.
    if (options?.receiveBuffer !== undefined) this.#watched = socket;
    return socket;
  }
}

class LossyTransport implements NetlinkTransport {
  isToMiss = false;
  readonly #socket: NetlinkSocket;

  constructor(socket: NetlinkSocket) {
    this.#socket = socket;
  }

  get portId(): number {
    return this.#socket.portId;
  }

  receive(): Uint8Array<ArrayBuffer> | undefined {
    const received = this.#socket.receive();
    if (!this.isToMiss) return received;
    this.isToMiss = false;
    throw new KernelError("receive", errnoOf("ENOBUFS"));
  }

  send = (message: Uint8Array<ArrayBuffer>) => this.#socket.send(message);
  receiveOfDump = (isLarge: boolean) => this.#socket.receiveOfDump(isLarge);
  readable = (timeoutMs: number) => this.#socket.readable(timeoutMs);
  joinGroup = (group: number) => this.#socket.joinGroup(group);
  leaveGroup = (group: number) => this.#socket.leaveGroup(group);
  [Symbol.dispose] = () => this.#socket[Symbol.dispose]();
}

const listing = () => run("nft", "--handle", "list", "ruleset");

Deno.test("a table that is as desired is left alone", keepsLibraries, async () => {
  for (const settings of everyKindOfSettings) {
    using subject = new Subject();
    const desired = desiredOf(everyKindOfPlan, settings);
    await subject.backend.reconcile(desired);
    const before = await listing();
    await subject.miss();
    assert.deepEqual(await subject.backend.reconcile(desired), {
      found: "ours",
      differences: [],
      compared: "all",
    });
    // A refill gives every object another handle.
    assert.equal(await listing(), before);
    await subject.backend.cleanup();
  }
});

Deno.test(
  "a table is left alone after changes, which keep chains that no service uses",
  keepsLibraries,
  async () => {
    const count = (endpoints: number) =>
      planOf({
        name: "web",
        clusterIP: "10.96.0.10:80",
        endpoints: Array.from({ length: endpoints }, (_, index) => `10.1.${index >> 8}.${index & 255}:80`),
      });
    const other = planOf({
      name: "api",
      clusterIP: "10.96.0.11:80",
      endpoints: Array.from({ length: 2500 }, (_, index) => `10.2.${index >> 8}.${index & 255}:80`),
    });
    using subject = new Subject();
    const settings = [settingsOf("IPv4")];
    await subject.backend.reconcile(desiredOf([other, count(3)], settings));
    for (const [old, next] of [[3, 5], [5, 4], [4, 3], [3, 7]] as const) {
      await subject.backend.apply([{ key: other.key, old: other, new: other }, {
        key: count(old).key,
        old: count(old),
        new: count(next),
      }]);
    }
    const before = await listing();
    await subject.miss();
    const desired = desiredOf([other, count(7)], settings);
    assert.equal((await subject.backend.reconcile(desired)).compared, "all");
    assert.equal(await listing(), before);
    // The state is that of the table: a class that comes back gets no second copy of its rules.
    await subject.backend.apply([{ key: other.key, old: count(7), new: count(5) }]);
    await subject.miss();
    assert.equal((await subject.backend.reconcile(desiredOf([other, count(5)], settings))).compared, "all");
    await subject.backend.cleanup();
  },
);

Deno.test("every difference is found and removed", keepsLibraries, async () => {
  const plan = planOf({
    name: "web",
    clusterIP: "10.96.0.10:80",
    endpoints: ["10.1.0.1:80", "10.1.0.2:80"],
  });
  using subject = new Subject();
  const desired = desiredOf([plan], [settingsOf("IPv4"), settingsOf("IPv6")]);
  await subject.backend.reconcile(desired);
  // In this order, whatever the order in the kernel is.
  const rules = async () => await run("nft", "list", "table", "ip", "kube-proxy").catch(() => "no table");
  const expected = await rules();
  const nft = (command: string) => () => run("nft", command);
  const [, chain] = /chain (\S+) \{\s+type nat hook/.exec(expected) ?? [];
  assert.ok(chain !== undefined);
  const [, element] = /map service-ips \{[^=]*elements = \{ (.*?) \}/s.exec(expected) ?? [];
  assert.ok(element !== undefined, expected);
  const [key] = element.split(/ comment | : /);
  const endpointOf = /map endpoints \{[^=]*elements = \{ ([^:]*) : /s.exec(expected)?.[1];
  assert.ok(endpointOf !== undefined, expected);
  const changes = {
    "a rule at the head": nft(`insert rule ip kube-proxy ${chain} drop`),
    "no rules": nft(`flush chain ip kube-proxy ${chain}`),
    "another order": nft(`add rule ip kube-proxy ${chain} accept`),
    "a foreign chain": nft("add chain ip kube-proxy foreign"),
    "no elements": nft("flush map ip kube-proxy service-ips"),
    "one element less": nft(`delete element ip kube-proxy service-ips { ${key} }`),
    "another comment": nft(
      `delete element ip kube-proxy service-ips { ${key} }; ` +
        `add element ip kube-proxy service-ips { ${key} comment "other" : goto cluster-2 }`,
    ),
    "another verdict": nft(
      `delete element ip kube-proxy service-ips { ${key} }; ` +
        `add element ip kube-proxy service-ips { ${key} comment "default/web:http" : drop }`,
    ),
    "another endpoint": nft(
      `delete element ip kube-proxy endpoints { ${endpointOf} }; ` +
        `add element ip kube-proxy endpoints { ${endpointOf} : 10.9.9.9 . 80 }`,
    ),
    "no table": nft("delete table ip kube-proxy"),
    "a policy": nft(`add chain ip kube-proxy ${chain} { policy drop; }`),
  };
  for (const [what, change] of Object.entries(changes)) {
    await change();
    assert.notEqual(await rules(), expected, what);
    await subject.miss();
    assert.notEqual((await subject.backend.reconcile(desired)).compared, "all", what);
    assert.equal(await rules(), expected, what);
  }
  await subject.backend.cleanup();
});
