import assert from "node:assert/strict";
import { takeListeners } from "../../../../../backends/userspace/relay/listeners/hand_over.ts";
import { connectToPeer, receiveDescriptors } from "../../../../../ffi/socket/unix/descriptor_passing.ts";
import { closeSocket } from "../../../../../ffi/socket/stream.ts";
import type { Offer } from "./offering_thread.ts";

const keepsLibraries = { sanitizeResources: false };

/** Names so long that some hundred of them fill the buffer of a socket. */
const MANY = Array.from({ length: 1500 }, (_, index) => `${index}`.padStart(200, "-"));

/** Another thread that offers listeners. */
class Offering implements Disposable {
  readonly name = `proxy-test/${crypto.randomUUID()}`;
  readonly #worker = new Worker(new URL("offering_thread.ts", import.meta.url), { type: "module" });
  readonly #events: ("offered" | number)[] = [];
  #arrived = Promise.withResolvers<void>();

  static async start(offer: Pick<Offer, "listeners" | "isCutOff">): Promise<Offering> {
    const offering = new Offering({ ...offer });
    assert.equal(await offering.#next(), "offered");
    return offering;
  }

  private constructor(offer: Pick<Offer, "listeners" | "isCutOff">) {
    this.#worker.onmessage = ({ data }) => {
      this.#events.push(data);
      this.#arrived.resolve();
    };
    this.#worker.postMessage({ ...offer, name: this.name });
  }

  /** Resolves when it has ended, with the number of times that the listeners were taken. */
  async ended(): Promise<unknown> {
    return await this.#next();
  }

  async #next(): Promise<unknown> {
    await this.#arrived.promise;
    const event = this.#events.shift();
    if (this.#events.length === 0) this.#arrived = Promise.withResolvers();
    return event;
  }

  [Symbol.dispose](): void {
    this.#worker.terminate();
  }
}

/** Takes the listeners and closes them. @returns their names, and the warnings. */
function take(name: string): { readonly names: readonly string[]; readonly warnings: readonly string[] } {
  const warnings: string[] = [];
  const taken = takeListeners(name, (message, { received }) => warnings.push(`${message} (${received})`));
  for (const fd of Object.values(taken)) closeSocket(fd);
  return { names: Object.keys(taken), warnings };
}

/** Reports whether any process has the listener of an offering open. */
function isListenerOpen({ name }: Offering): boolean {
  return Deno.readTextFileSync("/proc/net/unix").includes(`@${name}/listener`);
}

Deno.test(
  "more listeners than a socket holds at a time are handed over completely",
  keepsLibraries,
  async () => {
    using offering = await Offering.start({ listeners: MANY, isCutOff: false });
    const { names, warnings } = take(offering.name);
    assert.deepEqual(names.toSorted(), MANY.toSorted());
    assert.deepEqual(warnings, []);
    assert.equal(await offering.ended(), 1);
  },
);

Deno.test(
  "a process that goes away before it has all listeners leaves them to the next one",
  keepsLibraries,
  async () => {
    using offering = await Offering.start({ listeners: MANY, isCutOff: false });
    const peer = connectToPeer(offering.name, 1000);
    assert(peer !== undefined);
    const received = receiveDescriptors(peer, 16 * 1024);
    assert.equal(received?.descriptors.length, 64);
    for (const fd of [...received?.descriptors ?? [], peer]) closeSocket(fd);
    assert.equal(take(offering.name).names.length, MANY.length);
    assert.equal(await offering.ended(), 1);
  },
);

Deno.test("a part of the listeners is not taken for all of them", keepsLibraries, async () => {
  using offering = await Offering.start({ listeners: ["one", "two"], isCutOff: true });
  assert(isListenerOpen(offering));
  const { names, warnings } = take(offering.name);
  assert.deepEqual(names, []);
  assert.deepEqual(warnings, [
    "an earlier process did not hand over all of its listeners; others are opened (2)",
  ]);
  await offering.ended();
  assert(!isListenerOpen(offering), "what was received is closed");
});

Deno.test("without an earlier process, there is nothing to take", keepsLibraries, () => {
  assert.deepEqual(take(`proxy-test/${crypto.randomUUID()}`), { names: [], warnings: [] });
});
