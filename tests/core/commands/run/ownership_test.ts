import assert from "node:assert/strict";
import { takeLock } from "../../../../core/commands/run/ownership.ts";
import { findHolder } from "../../../../core/node/lock_holder.ts";
import { type HolderDescription, NamespaceLock } from "../../../../core/node/namespace_lock.ts";
import type { Fields, Log } from "../../../../core/observe/log.ts";
import { UserError } from "../../../../core/user_error.ts";
import { listenerOf } from "../../../../ffi/socket/unix/socket.ts";
import { silentLog } from "../../observe/log/silent_log.ts";

// Opens libc before the first test. It stays open, so the test that opened it would count as leaking it.
listenerOf("nobody");

const description: HolderDescription = {
  pid: 7,
  mode: "nftables",
  since: "2026-01-02T03:04:05.000Z",
  commandLine: "proxy --kubeconfig=/k",
};

/** Each test has a lock of its own. */
class Contest {
  readonly name = `proxy-test/${crypto.randomUUID()}`;
  readonly logged: { readonly message: string; readonly fields: Fields | undefined }[] = [];
  readonly #stop = new AbortController();

  hold(): NamespaceLock {
    const lock = NamespaceLock.take(this.name, description);
    assert.ok(lock !== undefined);
    return lock;
  }

  take(waitMs: number, isPrivileged = true): Promise<Disposable | undefined> {
    const record = (message: string, fields?: Fields) => void this.logged.push({ message, fields });
    const log: Log = { ...silentLog, info: record, warn: record };
    const request = { name: this.name, mode: "iptables", waitMs, advice: "Stop it" };
    return takeLock(request, log, this.#stop.signal, async (name) => {
      const holder = await findHolder(name);
      // The tests may run without CAP_NET_ADMIN.
      return holder && { ...holder, isPrivileged, [Symbol.dispose]: () => holder[Symbol.dispose]() };
    });
  }

  abort(): void {
    this.#stop.abort();
  }

  async untilLogged(count: number): Promise<void> {
    while (this.logged.length < count) await new Promise((resolve) => setTimeout(resolve, 1));
  }
}

Deno.test("the lock is free again when its holder gives it back", async () => {
  const contest = new Contest();
  (await contest.take(0))?.[Symbol.dispose]();
  using lock = await contest.take(0);
  assert.ok(lock !== undefined);
});

Deno.test("a second start fails and names the holder", async () => {
  const contest = new Contest();
  using _held = contest.hold();
  await assert.rejects(contest.take(0), (error) => {
    assert.ok(error instanceof UserError);
    assert.match(
      error.message,
      new RegExp(`^another proxy programs this network namespace: pid ${Deno.pid}, `),
    );
    assert.match(
      error.message,
      /mode "nftables", since "2026-01-02T03:04:05.000Z", commandLine ".+"\. Stop it$/,
    );
    return true;
  });
});

Deno.test("a start that waits takes over as soon as the holder ends, and logs the wait once", async () => {
  const contest = new Contest();
  const held = contest.hold();
  const taking = contest.take(60_000);
  await contest.untilLogged(1);
  const ended = performance.now();
  held[Symbol.dispose]();
  using lock = await taking;
  assert.ok(lock !== undefined);
  assert.ok(performance.now() - ended < 5000, "the end of the holder is an event, not the end of a period");
  assert.deepEqual(contest.logged.map(({ message }) => message), [
    "Another proxy programs this network namespace; waiting until it ends",
    "The other proxy has ended",
  ]);
  assert.equal(contest.logged[0]?.fields?.["mode"], "nftables");
});

Deno.test("one of several that wait gets the lock, and the others wait for it", async () => {
  const contest = new Contest();
  const held = contest.hold();
  const taking = [contest.take(60_000), contest.take(60_000)];
  await contest.untilLogged(2);
  held[Symbol.dispose]();
  const [first, index] = await Promise.race(
    taking.map((one, index) => one.then((lock) => [lock, index] as const)),
  );
  await contest.untilLogged(4);
  first?.[Symbol.dispose]();
  (await taking[1 - index])?.[Symbol.dispose]();
});

Deno.test("a start stops waiting after the given time", async () => {
  const contest = new Contest();
  using _held = contest.hold();
  await assert.rejects(contest.take(1100), /pid \d+, .* \(waited 1\.\d+ s for its end\)\. Stop it$/);
});

Deno.test("a start stops waiting when it is told to end", async () => {
  const contest = new Contest();
  using _held = contest.hold();
  const taking = contest.take(60_000);
  await contest.untilLogged(1);
  contest.abort();
  assert.equal(await taking, undefined);
});

Deno.test("more processes than the holder keeps connections for can wait", async () => {
  const contest = new Contest();
  const held = contest.hold();
  const taking = Array.from(
    { length: 20 },
    () => contest.take(60_000).then((lock) => lock?.[Symbol.dispose]()),
  );
  await contest.untilLogged(20);
  held[Symbol.dispose]();
  await Promise.all(taking);
});

Deno.test("a process that cannot be a proxy keeps no proxy from starting", async () => {
  const contest = new Contest();
  using _held = contest.hold();
  using lock = await contest.take(0, false);
  assert.ok(lock !== undefined);
  assert.match(contest.logged[0]?.message ?? "", /^A process that is no proxy holds the lock/);
  assert.equal(contest.logged[0]?.fields?.["pid"], Deno.pid);
});

Deno.test("a holder that says nothing, or nonsense, is known by what the kernel says", async () => {
  for (
    const said of ["", "{}\n", `{"pid":1,"mode":"x","since":"?","commandLine":""}\n`, "x".repeat(100_000)]
  ) {
    const contest = new Contest();
    using listener = Deno.listen({ transport: "unix", path: `\0${contest.name}` });
    const accepting = listener.accept();
    const finding = findHolder(contest.name);
    using connection = await accepting;
    const writing = connection.write(new TextEncoder().encode(said)).catch(() => {});
    using holder = await finding;
    assert.equal(holder?.credentials?.pid, Deno.pid);
    assert.equal(holder?.description, undefined, said.slice(0, 40));
    await writing;
  }
});

Deno.test("a name that is bound by nobody who listens keeps no proxy from starting", async () => {
  const contest = new Contest();
  const listener = Deno.listen({ transport: "unix", path: `\0${contest.name}` });
  const taking = takeLock(
    { name: contest.name, mode: "", waitMs: 0, advice: "" },
    { ...silentLog, warn: (message) => void contest.logged.push({ message, fields: undefined }) },
    new AbortController().signal,
    () => Promise.resolve(undefined),
  );
  using lock = await taking;
  assert.ok(lock !== undefined);
  assert.equal(contest.logged.length, 1);
  listener.close();
});

Deno.test("where the lock cannot be taken at all, the proxy starts with a warning", async () => {
  const logged: string[] = [];
  const log: Log = { ...silentLog, warn: (message) => void logged.push(message) };
  // Too long for an address.
  const request = { name: "n".repeat(200), mode: "nftables", waitMs: 0, advice: "" };
  using lock = await takeLock(request, log, new AbortController().signal);
  assert.ok(lock !== undefined);
  assert.match(
    logged.join(),
    /^The lock of this network namespace cannot be taken; continuing without the lock/,
  );
});

Deno.test("a program that the holder started does not keep the lock", async () => {
  const contest = new Contest();
  const held = contest.hold();
  const child = new Deno.Command("sleep", { args: ["60"] }).spawn();
  try {
    held[Symbol.dispose]();
    using lock = await contest.take(0);
    assert.ok(lock !== undefined);
    assert.ok(!contest.logged.some(({ message }) => message.includes("no proxy")));
  } finally {
    child.kill();
    await child.status;
  }
});
