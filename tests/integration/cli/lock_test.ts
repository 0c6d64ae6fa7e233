import assert from "node:assert/strict";
import { PrivateMounts } from "../ebpf/support/private_mounts.ts";
import { WITHOUT_NET_ADMIN } from "../support/network_namespace.ts";
import { collect } from "./support/collect.ts";
import { assertComplaint, Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";

/** A takeover takes some milliseconds plus the first sync. */
const TAKES_OVER_WITHIN_MS = 5000;

Deno.test("a second proxy in any mode names the first one and exits, and changes nothing", async (t) => {
  await using node = await Node.make();
  await using mounts = await PrivateMounts.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const flagsOf = (mode: string) => [
    `--proxy-mode=${mode}`,
    ...(mode === "ebpf" ? [`--ebpf-bpffs=${mounts.bpffs}`, `--ebpf-cgroup=${mounts.cgroup}`] : []),
  ];
  const modes = ["nftables", "iptables", "ebpf", "userspace"];
  for (const first of modes) {
    await using holder = node.start(...flagsOf(first));
    // Wait for the cleanup of all three other modes, because each of them may be the one before.
    await holder.logs(/(No rules of another mode remain[^]*){3}/);
    await holder.inForce();
    const before = await state(node, mounts.bpffs);
    for (const second of modes) {
      await t.step(`mode ${second} beside mode ${first}`, async () => {
        const finished = await node.run([...node.source, ...node.identity, ...flagsOf(second)]);
        assertComplaint(
          finished,
          /another proxy programs this network namespace: pid \d+, mode "/,
          new RegExp(
            `pid ${holder.pid}, mode "${first}", since "20.*Z", commandLine ".*--proxy-mode=${first}`,
          ),
          /--wait-for-lock/,
        );
        assert.equal(await state(node, mounts.bpffs), before);
        assert.ok(holder.isRunning);
      });
    }
    await t.step(`--cleanup beside mode ${first}`, async () => {
      const finished = await node.run(["--cleanup", ...flagsOf("ebpf").slice(1)]);
      assertComplaint(finished, new RegExp(`pid ${holder.pid}, mode "${first}".*stop it first`));
      assert.equal(await state(node, mounts.bpffs), before);
    });
  }
  const { code, stderr } = await node.run(["--cleanup", ...flagsOf("ebpf").slice(1)]);
  assert.equal(code, 0, stderr);
});

Deno.test("--wait-for-lock takes over within a moment after the other proxy ends", async (t) => {
  await using node = await Node.make();
  await node.write("a.json", reachable("a", "10.96.0.10"));
  let running = node.start();
  await running.inForce();
  for (const [index, signal] of (["SIGTERM", "SIGKILL"] as const).entries()) {
    await t.step(signal, async () => {
      const next = node.start("--wait-for-lock");
      try {
        await next.logs(
          /"Another proxy programs this network namespace; waiting until it ends" pid=\d+ mode="nftables"/,
        );
        // The proxy that has the lock still follows the cluster.
        await node.write(`b${index}.json`, reachable(`b${index}`, `10.96.1.${index}`));
        await running.until(async () => (await node.services()).length === index + 2, "new service");
        const ended = performance.now();
        await running.end(signal);
        await next.inForce();
        assert.ok(performance.now() - ended < TAKES_OVER_WITHIN_MS);
        assert.equal(next.log.match(/Another proxy/g)?.length, 1, "the wait is logged once");
        assert.equal((await next.health()).status, 200);
      } finally {
        await running[Symbol.asyncDispose]();
        running = next;
      }
    });
  }
  await t.step("SIGTERM ends a proxy that waits", async () => {
    await using waiting = node.start("--wait-for-lock");
    await waiting.logs(/waiting until it ends/);
    assert.equal((await waiting.end("SIGTERM")).code, 0);
  });
  await t.step("the wait ends after the given time", async () => {
    const finished = await node.run([...node.source, ...node.identity, "--wait-for-lock=1500ms"]);
    assertComplaint(finished, new RegExp(`pid ${running.pid}, .*\\(waited 1\\.\\d+ s for its end\\)`));
  });
  await t.step("--cleanup waits, too", async () => {
    const cleanup = node.run(["--cleanup", "--wait-for-lock"]);
    await new Promise((resolve) => setTimeout(resolve, 200));
    assert.ok(running.isRunning);
    await running.end();
    assert.equal((await cleanup).code, 0);
    assert.equal(await node.ruleset(), "");
  });
});

Deno.test("a start right after kill -9 needs no flag", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  for (let time = 0; time < 3; time++) {
    await using proxy = node.start();
    await proxy.inForce();
    proxy.signal("SIGKILL");
    await using next = node.start();
    await next.inForce();
  }
});

Deno.test("a proxy in another PID namespace is named by its own words", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using holder = node.start();
  await holder.inForce();
  const finished = await node.run(
    [...node.source, ...node.identity],
    ["unshare", "--pid", "--fork", "--mount-proc"],
  );
  assertComplaint(
    finished,
    new RegExp(
      `: pidInItsNamespace ${holder.pid}, mode "nftables", since ".*", commandLine "proxy --manifests=`,
    ),
  );
});

Deno.test("a process that may not program the kernel cannot keep the proxy from starting", async (t) => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const squatters: Record<string, { wrapper: readonly string[]; prepare?: string }> = {
    "of another user": { wrapper: [], prepare: "os.setgid(65534); os.setuid(65534)" },
    "of root without CAP_NET_ADMIN": { wrapper: WITHOUT_NET_ADMIN },
    "in a user namespace of its own": { wrapper: ["unshare", "--user", "--map-root-user"] },
    "that accepts no connections": { wrapper: WITHOUT_NET_ADMIN, prepare: "backlog = 0" },
    "that does not listen": { wrapper: WITHOUT_NET_ADMIN, prepare: "backlog = None" },
  };
  for (const [who, { wrapper, prepare = "" }] of Object.entries(squatters)) {
    await t.step(`a process ${who}`, async () => {
      const script = `
import os, socket, time
backlog = 10
${prepare}
s = socket.socket(socket.AF_UNIX)
s.bind("\\0proxy/lock")
if backlog is not None: s.listen(backlog)
clients = [socket.socket(socket.AF_UNIX) for _ in range(3)]
if backlog == 0:
  for client in clients:
    client.setblocking(False)
    try: client.connect("\\0proxy/lock")
    except BlockingIOError: pass
print("held", flush=True)
time.sleep(60)
`;
      const squatter = node.spawn([...wrapper, "python3", "-c", script]);
      let said: Promise<string> | undefined;
      try {
        await new Promise<void>((resolve) => {
          said = collect(squatter.stdout, (text) => text.startsWith("held") && resolve());
        });
        await using proxy = node.start();
        await proxy.inForce();
        assert.match(
          proxy.log,
          /^W.*"(A process that is no proxy|The process that) holds the lock of this network namespace/m,
        );
        if (/user|root/.test(who)) {
          assert.match(proxy.log, new RegExp(` pid=${squatter.pid} uid=\\d+ commandLine="`));
        }
      } finally {
        squatter.kill("SIGKILL");
        await squatter.status;
        await said;
        await squatter.stderr.cancel();
      }
    });
  }
});

/** Everything that a proxy programs. */
async function state(node: Node, bpffs: string): Promise<string> {
  const paths: string[] = [];
  const walk = (path: string) => {
    for (const { name, isDirectory } of Deno.readDirSync(path)) {
      paths.push(`${path}/${name}`);
      if (isDirectory) walk(`${path}/${name}`);
    }
  };
  if (await Deno.lstat(bpffs).then(() => true, () => false)) walk(bpffs);
  return [await node.ruleset(), ...paths.sort()].join("\n");
}
