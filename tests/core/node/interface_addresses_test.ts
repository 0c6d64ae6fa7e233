import assert from "node:assert/strict";
import { formatAddress, parseAddress } from "../../../core/net/address.ts";
import { InterfaceAddresses } from "../../../core/node/interface_addresses.ts";
import { errnoOf } from "../../../ffi/errno.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { NLMSG_DONE, NLMSG_ERROR } from "../../../ffi/netlink/constants.ts";
import { messages } from "../../../ffi/netlink/reader.ts";
import * as rt from "../../../ffi/netlink/rtnetlink/constants.ts";
import { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { RecordingLog } from "../observe/log/recording_log.ts";
import { FakeTransport, type Scripted } from "../../ffi/netlink/fake_transport.ts";

const SERVICE_DEVICE = "kube-ipvs0";
const SERVICE_INDEX = 7;

/** The kernel's interfaces, and a follower of their addresses. */
class FakeNode implements AsyncDisposable {
  /** Addresses by index, as the kernel lists them. */
  listed: [index: number, address: string][] = [[1, "127.0.0.1"], [2, "192.0.2.1"], [
    SERVICE_INDEX,
    "10.96.0.1",
  ]];
  lists = 0;
  /** Requests for the device of services: one per update. */
  lookups = 0;
  changes = 0;
  readonly interfaces: InterfaceAddresses;
  /** Error of the next list. */
  failure: KernelError | undefined;
  readonly log = new RecordingLog();
  readonly #listener = new ListeningTransport();
  readonly #abort = new AbortController();
  readonly #ended: Promise<void>;

  constructor() {
    const client = new FakeTransport((sent) => this.#answer(sent));
    const transports = [client, this.#listener];
    this.interfaces = new InterfaceAddresses({
      serviceDevices: [SERVICE_DEVICE],
      log: this.log,
      open: () => transports.shift()!,
      retryMs: 1,
    });
    this.#ended = this.interfaces.follow(() => this.changes++, this.#abort.signal);
  }

  get addresses(): string {
    return this.interfaces.current.map(formatAddress).join(" ");
  }

  /** Delivers notifications, and waits until they have been taken into account. */
  async notify(...notifications: readonly Scripted[]): Promise<void> {
    const { lookups } = this;
    this.#listener.deliver(...notifications);
    while (this.lookups === lookups) {
      this.#listener.wake();
      await new Promise((resolve) => setTimeout(resolve, 5));
    }
    // The update goes on after the answer without waiting for anything else.
    await new Promise((resolve) => setTimeout(resolve, 5));
  }

  async [Symbol.asyncDispose](): Promise<void> {
    this.#abort.abort();
    await this.#ended;
    this.#listener.wake();
  }

  #answer(sent: Uint8Array): readonly Scripted[] {
    const [request] = messages(sent);
    assert.ok(request !== undefined);
    const answers = new MessageWriter();
    if (request.type === rt.RTM_GETLINK) {
      this.lookups++;
      answers.begin(rt.RTM_NEWLINK, 0, request.seq);
      for (const value of [0, SERVICE_INDEX, 0, 0]) answers.rawU32le(value);
      answers.end();
      answers.begin(NLMSG_ERROR, 0, request.seq);
      for (let word = 0; word < 5; word++) answers.rawU32le(0);
      answers.end();
      return [answers.bytes().slice()];
    }
    assert.equal(request.type, rt.RTM_GETADDR);
    this.lists++;
    const { failure } = this;
    this.failure = undefined;
    if (failure !== undefined) return [failure];
    for (const [index, address] of this.listed) {
      writeAddress(answers, rt.RTM_NEWADDR, request.seq, index, address);
    }
    answers.begin(NLMSG_DONE, 2, request.seq);
    answers.rawU32le(0);
    answers.end();
    return [answers.bytes().slice()];
  }
}

/** `readable` waits like that of a socket. */
class ListeningTransport extends FakeTransport {
  #waiting = Promise.withResolvers<boolean>();

  override readable(): Promise<boolean> {
    return this.#waiting.promise;
  }

  wake(): void {
    const { resolve } = this.#waiting;
    this.#waiting = Promise.withResolvers<boolean>();
    resolve(true);
  }
}

function writeAddress(writer: MessageWriter, type: number, seq: number, index: number, text: string): void {
  const address = parseAddress(text);
  assert.ok(address !== undefined);
  writer.begin(type, 0, seq);
  // struct ifaddrmsg
  for (const byte of [address.length === 4 ? 2 : 10, 64, 0x80, 0, index, 0, 0, 0]) writer.rawU8(byte);
  writer.attrLatin1(rt.IFA_ADDRESS, address);
  writer.end();
}

function notification(type: number, index: number, address: string): Uint8Array<ArrayBuffer> {
  const writer = new MessageWriter();
  writeAddress(writer, type, 0, index, address);
  return writer.bytes().slice();
}

const added = (index: number, address: string) => notification(rt.RTM_NEWADDR, index, address);
const removed = (index: number, address: string) => notification(rt.RTM_DELADDR, index, address);

Deno.test("addresses are listed once, and then follow the notifications", async () => {
  await using node = new FakeNode();
  await node.interfaces.listed;
  assert.equal(node.addresses, "127.0.0.1 192.0.2.1");
  await node.notify(added(9, "fe80::9"), added(2, "192.0.2.2"));
  assert.equal(node.addresses, "127.0.0.1 192.0.2.1 192.0.2.2 fe80::9");
  assert.equal(node.changes, 1);
  await node.notify(removed(2, "192.0.2.1"), removed(9, "fe80::9"));
  assert.equal(node.addresses, "127.0.0.1 192.0.2.2");
  assert.deepEqual([node.changes, node.lists], [2, 1]);
});

Deno.test("an address that stays is no change: the end of duplicate address detection, a new lifetime", async () => {
  await using node = new FakeNode();
  await node.interfaces.listed;
  await node.notify(added(2, "192.0.2.1"), added(2, "192.0.2.1"));
  await node.notify(added(3, "fe80::3"), removed(3, "fe80::3"));
  assert.deepEqual([node.changes, node.addresses], [0, "127.0.0.1 192.0.2.1"]);
});

Deno.test("addresses of services are none of the node", async () => {
  await using node = new FakeNode();
  await node.interfaces.listed;
  await node.notify(added(SERVICE_INDEX, "10.96.0.2"), removed(SERVICE_INDEX, "10.96.0.1"));
  assert.deepEqual([node.changes, node.addresses], [0, "127.0.0.1 192.0.2.1"]);
});

Deno.test("after missed notifications the addresses are listed again, and compared", async () => {
  await using node = new FakeNode();
  await node.interfaces.listed;
  await node.notify(new KernelError("receive", errnoOf("ENOBUFS")));
  assert.deepEqual([node.changes, node.lists], [0, 2]);
  node.listed = [[1, "127.0.0.1"]];
  await node.notify(new KernelError("receive", errnoOf("ENOBUFS")));
  assert.deepEqual([node.changes, node.lists, node.addresses], [1, 3, "127.0.0.1"]);
});

Deno.test("addresses that cannot be read stay in force, and are read again until they can", async () => {
  await using node = new FakeNode();
  await node.interfaces.listed;
  node.listed = [[1, "127.0.0.1"]];
  node.failure = new KernelError("list addresses of interfaces", errnoOf("ENOBUFS"));
  await node.notify(new KernelError("receive", errnoOf("ENOBUFS")));
  const deadline = performance.now() + 30_000;
  while (node.changes === 0 && performance.now() < deadline) {
    await new Promise((resolve) => setTimeout(resolve, 5));
  }
  assert.deepEqual([node.changes, node.lists, node.addresses], [1, 3, "127.0.0.1"]);
  assert.deepEqual(node.log.lines, [
    "error: The addresses of this node cannot be read; the last ones stay in force, and it is retried",
    "info: The addresses of this node can be read again",
  ]);
});
