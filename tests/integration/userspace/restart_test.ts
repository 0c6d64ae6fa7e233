import assert from "node:assert/strict";
import { proxyBinary } from "../../lab/proxy.ts";
import { linesOf } from "../../lab/lines.ts";
import { slowness } from "../../lab/pace.ts";
import { program, ServingNode } from "./support/serving_node.ts";

const FLAGS = ["--proxy-mode=userspace", "--userspace-drain-timeout=5s"];
/** Time with traffic before and after each event. */
const PAUSE_MS = 500 * slowness;

const pause = () => new Promise((resolve) => setTimeout(resolve, PAUSE_MS));

Deno.test("mode userspace: no connection fails while another process takes over", async () => {
  await using serving = await ServingNode.make();
  const { node } = serving;
  let proxy = node.start(...FLAGS);
  await proxy.inForce();
  const stopClients = serving.clients();
  for (let replacement = 0; replacement < 3; replacement++) {
    await pause();
    const next = node.start(...FLAGS, "--wait-for-lock=30s");
    await next.logs(/waiting until it ends/);
    proxy.signal("SIGTERM");
    await next.inForce();
    await pause();
    assert.equal((await proxy.end()).code, 0);
    assert.match(
      proxy.log,
      /"Stopping; the rules stay in force, but Services answer only while a proxy runs"/,
    );
    proxy = next;
  }
  const { answered = 0, ...failures } = await stopClients();
  await proxy[Symbol.asyncDispose]();
  assert.deepEqual(failures, {});
  assert(answered > 100, `${answered} connections`);
});

for (
  const [name, flags, destination, listener] of [
    ["mode userspace", [], "clusterIP", /^TCP-IPv4-inside$/],
    ["mode userspace without rules", ["--userspace-rules=false"], "nodePort", /^TCP-00000000-30080$/],
  ] as const
) {
  Deno.test(`${name}: no connection is refused while a service manager restarts the process`, async () => {
    await using serving = await ServingNode.make();
    const { node } = serving;
    const command = [
      "env",
      "RUNTIME_DIRECTORY=" + node.directory,
      proxyBinary,
      ...node.source,
      ...node.identity,
    ];
    const manager = serving.start(
      program("service_manager.py"),
      `${node.directory}/notify`,
      ...command,
      ...FLAGS,
      ...flags,
    );
    const lines = linesOf(manager.stdout);
    const input = manager.stdin.getWriter();
    const kept: string[] = [];
    const ready = async () => {
      for (let line = await lines.next(); line.value !== "ready"; line = await lines.next()) {
        assert(!line.done, "the service manager has ended");
        kept.push(line.value);
      }
    };
    await ready();
    const stopClients = serving.clients(destination);
    for (const signal of ["SIGTERM", "SIGTERM", "SIGKILL"]) {
      await pause();
      await input.write(new TextEncoder().encode(`${signal}\n`));
      await ready();
    }
    await pause();
    const { answered = 0, ...failures } = await stopClients();
    await input.close();
    input.releaseLock();
    // It ends its process first. Disposal would kill it, and leave the process behind.
    await manager.status;
    for (let line = await lines.next(); !line.done; line = await lines.next());
    // Killing the process resets what it was carrying.
    const { ConnectionResetError: _reset, ...others } = failures;
    assert.deepEqual(others, {});
    assert(answered > 100, `${answered} connections`);
    assert.equal(new Set(kept).size, kept.length);
    assert(kept.some((one) => listener.test(one)), kept.join(" "));
  });
}
