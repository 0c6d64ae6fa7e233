import assert, { deepEqual, equal, match } from "node:assert/strict";
import { Notifier } from "../../../../core/observe/service_manager/notifier.ts";
import { ServiceManager } from "../../../../core/observe/service_manager/service_manager.ts";
import { SocketStore } from "../../../../core/observe/service_manager/socket_store.ts";
import { StatusLine } from "../../../../core/observe/service_manager/status_line.ts";
import { LoopProgress } from "../../../../core/sync/loop_progress.ts";
import { openFile } from "../../../../ffi/files/file_descriptor.ts";
import { libc } from "../../../../ffi/libraries/libc.ts";
import { DatagramReceiver } from "../../../ffi/socket/unix/datagram_receiver.ts";
import { silentLog } from "../log/silent_log.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();

const LONG_MS = 20_000;

/** A service manager with a socket, and the process that it started. */
class Started implements Disposable {
  readonly #name = `test-${crypto.randomUUID()}`;
  readonly receiver: DatagramReceiver;
  readonly environment: Map<string, string>;
  readonly warnings: string[] = [];
  readonly notifier: Notifier | undefined;

  constructor(more: Readonly<Record<string, string>> = {}) {
    this.receiver = new DatagramReceiver(`\0${this.#name}`);
    this.environment = new Map(Object.entries({ NOTIFY_SOCKET: `@${this.#name}`, HOME: "/", ...more }));
    this.notifier = Notifier.open(this.environment, {
      ...silentLog,
      warn: (message) => this.warnings.push(message),
    });
  }

  get messages(): readonly string[] {
    return this.receiver.messages;
  }

  async until(condition: () => boolean, what: string): Promise<void> {
    const deadline = performance.now() + LONG_MS;
    while (!condition()) {
      if (performance.now() > deadline) {
        throw new Error(`no ${what}; received ${JSON.stringify(this.messages)}`);
      }
      await pause(5);
    }
  }

  manager(more: Partial<ConstructorParameters<typeof ServiceManager>[0]> = {}): ServiceManager {
    const { notifier } = this;
    const progress = new LoopProgress();
    return new ServiceManager({ notifier, progress, stuckAfterMs: LONG_MS, describe: () => "well", ...more });
  }

  [Symbol.dispose](): void {
    this.notifier?.[Symbol.dispose]();
    this.receiver[Symbol.dispose]();
  }
}

const pause = (ms: number) => new Promise((resolve) => setTimeout(resolve, ms));

Deno.test("without NOTIFY_SOCKET nothing is sent, and no timer runs", async () => {
  const notifier = Notifier.open(new Map([["WATCHDOG_USEC", "1000"]]), silentLog);
  equal(notifier, undefined);
  const progress = new LoopProgress();
  using manager = new ServiceManager({ notifier, progress, stuckAfterMs: 1, describe: () => "" });
  manager.ready();
  manager.changed();
  await manager.reloading(new Promise(() => {}));
});

Deno.test("the variables are for this process only, and other variables stay", () => {
  using started = new Started({ WATCHDOG_USEC: "10000000", WATCHDOG_PID: String(Deno.pid) });
  equal(started.notifier?.watchdogMs, 10_000);
  deepEqual([...started.environment.keys()], ["HOME"]);
});

Deno.test("a watchdog for another process, or without a time, is none", () => {
  for (const variables of [{ WATCHDOG_USEC: "1000", WATCHDOG_PID: "1" }, { WATCHDOG_USEC: "soon" }, {}]) {
    using started = new Started(variables);
    equal(started.notifier?.watchdogMs, undefined);
  }
});

Deno.test("an address that is no Unix socket is warned about", () => {
  for (const socket of ["vsock:2:1234", "relative", "@", `/${"x".repeat(120)}`]) {
    using started = new Started({ NOTIFY_SOCKET: socket });
    equal(started.notifier, undefined, socket);
    match(started.warnings.join(), /NOTIFY_SOCKET must be an absolute path, or @ and a name/);
  }
});

Deno.test("messages that the service manager does not take are sent later, in order, and the last one is the end", async () => {
  const name = `test-${crypto.randomUUID()}`;
  using notifier = Notifier.open(new Map([["NOTIFY_SOCKET", `@${name}`]]), silentLog);
  notifier?.send("READY=1");
  notifier?.feedWatchdog();
  notifier?.stopping("nothing is served");
  notifier?.send("STATUS=too late");
  await pause(10);
  using receiver = new DatagramReceiver(`\0${name}`);
  const deadline = performance.now() + LONG_MS;
  while (receiver.messages.length < 2 && performance.now() < deadline) await pause(5);
  deepEqual(receiver.messages, ["READY=1", "STOPPING=1\nSTATUS=Stopping; nothing is served"]);
});

Deno.test("the status is sent when it changes, and at most once per second", async () => {
  using started = new Started();
  let text = "one";
  using manager = started.manager({ describe: () => text });
  deepEqual(started.messages, ["STATUS=one"]);
  manager.changed();
  text = "two";
  manager.changed();
  text = "three";
  manager.changed();
  equal(started.messages.length, 1);
  await started.until(() => started.messages.length > 1, "second status");
  text = "four";
  manager.ready();
  deepEqual(started.messages, ["STATUS=one", "STATUS=three", "READY=1\nSTATUS=four"]);
});

Deno.test("a reload begins with the time and ends when everything was read and tried", async () => {
  using started = new Started();
  const progress = new LoopProgress();
  using manager = started.manager({ progress });
  const read = Promise.withResolvers<void>();
  await manager.reloading(read.promise);
  deepEqual(started.messages, ["STATUS=well"], "during the start, only READY=1 counts");
  manager.ready();
  const done = manager.reloading(read.promise);
  match(started.messages[2] ?? "", /^RELOADING=1\nMONOTONIC_USEC=\d+$/);
  progress.queued();
  read.resolve();
  await pause(5);
  equal(started.messages.length, 3, "what was read is not in force");
  progress.started();
  progress.ended();
  await done;
  deepEqual(started.messages.slice(3), ["READY=1"]);
});

Deno.test("two reloads at a time end once, and a source that does not answer ends neither late", async () => {
  using started = new Started();
  using manager = started.manager({ reloadMs: 20 });
  manager.ready();
  const never = new Promise<void>(() => {});
  await Promise.all([manager.reloading(never), manager.reloading(never)]);
  const words = started.messages.map((message) => message.replace(/[=\n].*/s, ""));
  deepEqual(words, ["STATUS", "READY", "RELOADING", "RELOADING", "READY"]);
});

Deno.test("the watchdog is fed while the loop is idle, and not while it is stuck", async () => {
  using started = new Started({ WATCHDOG_USEC: "20000" });
  const fed = () => started.messages.filter((message) => message === "WATCHDOG=1").length;
  const progress = new LoopProgress();
  using _manager = started.manager({ progress, stuckAfterMs: 30 });
  await started.until(() => fed() > 5, "food for an idle loop");
  progress.started();
  await pause(60);
  const hungry = fed();
  await pause(60);
  equal(fed(), hungry, "a sync that does not end");
  progress.ended();
  await started.until(() => fed() > hungry, "food after the sync has ended");
});

Deno.test("the status says what is in force, and what is wrong", () => {
  const state = { count: 0, rejecting: false, changes: 0 };
  const status = new StatusLine({
    mode: "nftables",
    source: "API server",
    servicePorts: () => state.count,
    isRejecting: () => state.rejecting,
    changed: () => state.changes++,
  });
  equal(status.text, "Mode nftables: waiting for the first list from the API server");
  const sync = (succeeds: boolean) => {
    status.started();
    if (succeeds) status.settled();
    status.ended();
  };
  sync(false);
  equal(status.text, "Mode nftables: the first sync is not in force yet; the last sync failed");
  state.count = 1;
  sync(true);
  equal(status.text, "Mode nftables: 1 service port in force");
  state.count = 25;
  state.rejecting = true;
  status.connected(false);
  sync(false);
  equal(
    status.text,
    "Mode nftables: 25 service ports in force; the API server is unreachable; the last sync failed; " +
      "the kernel rejects a service port",
  );
  state.rejecting = false;
  status.connected(true);
  sync(true);
  equal(status.text, "Mode nftables: 25 service ports in force");
  equal(state.changes, 6);
});

Deno.test("the service manager keeps the sockets in use, and closes those of an earlier process that are not", async () => {
  using started = new Started();
  using file = openFile("/proc/self/status");
  using other = openFile("/proc/self/status");
  assert(file !== undefined && other !== undefined);
  const store = new SocketStore(started.notifier, { gone: 3, replaced: 4, "TCP-IPv4-inside": file.fd });
  const sockets = { "TCP-IPv4-inside": file.fd, replaced: other.fd, added: file.fd };
  store.keep(sockets);
  store.keep(sockets);
  store.keep({ "TCP-IPv4-inside": file.fd, replaced: other.fd });
  await started.until(() => started.messages.length >= 5, "five messages");
  deepEqual(started.messages, [
    "FDSTOREREMOVE=1\nFDNAME=gone",
    "FDSTOREREMOVE=1\nFDNAME=replaced",
    "FDSTORE=1\nFDNAME=replaced",
    "FDSTORE=1\nFDNAME=added",
    "FDSTOREREMOVE=1\nFDNAME=added",
  ]);
});

Deno.test("a socket that waits for the service manager may be closed meanwhile", async () => {
  const name = `test-${crypto.randomUUID()}`;
  using notifier = Notifier.open(new Map([["NOTIFY_SOCKET", `@${name}`]]), silentLog);
  const path = Deno.makeTempFileSync();
  {
    using file = openFile(path);
    notifier?.keep("TCP-IPv4-inside", file?.fd ?? -1);
  }
  using receiver = new DatagramReceiver(`\0${name}`);
  const deadline = performance.now() + LONG_MS;
  while (receiver.messages.length < 1 && performance.now() < deadline) await pause(5);
  deepEqual(receiver.messages, ["FDSTORE=1\nFDNAME=TCP-IPv4-inside"]);
  equal(descriptorsOf(path), 0);
  Deno.removeSync(path);
});

/** The number of descriptors of a file in this process, which runs other tests at the same time. */
function descriptorsOf(path: string): number {
  return [...Deno.readDirSync("/proc/self/fd")].filter(({ name }) => {
    try {
      return Deno.readLinkSync(`/proc/self/fd/${name}`) === path;
    } catch (error) {
      // Another test has closed it.
      if (error instanceof Deno.errors.NotFound) return false;
      throw error;
    }
  }).length;
}
