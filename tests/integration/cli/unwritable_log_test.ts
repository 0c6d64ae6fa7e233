import assert from "node:assert/strict";
import { proxyBinary } from "../../lab/proxy.ts";
import { collect } from "./support/collect.ts";
import { Node } from "./support/node.ts";
import { reachable, service } from "./support/objects.ts";

/** Generous, so that a busy machine does not fail a test. */
const PATIENCE_MS = 30_000;

async function until(condition: () => Promise<boolean>, what: string): Promise<void> {
  const deadline = performance.now() + PATIENCE_MS;
  while (!await condition()) {
    assert.ok(performance.now() < deadline, `no ${what} in ${PATIENCE_MS / 1000} s`);
    await new Promise((resolve) => setTimeout(resolve, 20));
  }
}

/** The proxy with a standard error that the test chooses. */
class QuietProxy implements AsyncDisposable {
  readonly process: Deno.ChildProcess;

  /** @param redirection of standard error, in a shell */
  constructor(private readonly node: Node, redirection: string, ...flags: readonly string[]) {
    const command = [proxyBinary, ...node.source, ...node.identity, ...flags];
    this.process = node.spawn(["sh", "-c", `exec "$@" ${redirection}`, "sh", ...command]);
  }

  async inForce(...services: readonly string[]): Promise<void> {
    const listed = async () => (await this.node.services().catch(() => [])).join();
    await until(async () => await listed() === services.join(), `${services} in force`);
  }

  async healthz(): Promise<string> {
    const url = "http://127.0.0.1:10256/healthz";
    return await this.node.namespace.run(
      "curl",
      "-s",
      "--noproxy",
      "*",
      "-m",
      "5",
      "-w",
      "%{http_code}",
      url,
    );
  }

  async dropped(reason: string): Promise<number> {
    const sample = new RegExp(`^kubeproxy_log_lines_dropped_total\\{reason="${reason}"\\} (\\d+)$`, "m");
    return Number(sample.exec(await this.node.metrics())?.[1]);
  }

  /** @returns its exit code */
  async end(): Promise<number> {
    this.process.kill("SIGTERM");
    const killer = setTimeout(() => this.process.kill("SIGKILL"), PATIENCE_MS);
    const { code } = await this.process.status;
    clearTimeout(killer);
    return code;
  }

  async [Symbol.asyncDispose](): Promise<void> {
    try {
      this.process.kill("SIGKILL");
    } catch {
      // It has ended.
    }
    await this.process.status;
    for (const stream of [this.process.stdout, this.process.stderr]) {
      if (!stream.locked) await stream.cancel().catch(() => {});
    }
  }
}

/** Each way in which writing a line fails at once. */
const failing: Readonly<Record<string, (node: Node) => Promise<QuietProxy>>> = {
  "a full disk": (node) => Promise.resolve(new QuietProxy(node, "2>/dev/full", "-v=4")),
  "a closed descriptor": (node) => Promise.resolve(new QuietProxy(node, "2>&-", "-v=4")),
  "a pipe whose reader has ended": async (node) => {
    const proxy = new QuietProxy(node, "", "-v=4");
    await proxy.process.stderr.cancel();
    return proxy;
  },
};

for (const [what, start] of Object.entries(failing)) {
  Deno.test(`with ${what} as standard error the proxy starts, follows changes and ends with exit code 0`, async () => {
    await using node = await Node.make();
    await node.write("one.json", reachable("one", "10.96.0.1"));
    await using proxy = await start(node);
    await proxy.inForce("10.96.0.1:80 default/one");
    await node.write("two.json", reachable("two", "10.96.0.2"));
    await proxy.inForce("10.96.0.1:80 default/one", "10.96.0.2:80 default/two");
    await until(async () => (await proxy.healthz()).endsWith("200"), "answer of /healthz");
    // The runtime opens /dev/null in place of a closed standard error.
    if (what !== "a closed descriptor") assert.ok(await proxy.dropped("write") > 0);
    assert.equal(await proxy.end(), 0);
  });
}

/** Services that are not proxied: with -v=2 a line each. Their lines are more than the queue holds. */
const notProxied = Array.from(
  { length: 20_000 },
  (_, index) => service(`headless-${index}-${"x".repeat(40)}`, "None"),
);

Deno.test("while nobody reads the log the proxy answers and follows changes, and says later how many lines are missing", async () => {
  await using node = await Node.make();
  await node.write("one.json", reachable("one", "10.96.0.1"));
  await using proxy = new QuietProxy(node, "", "-v=4");
  await proxy.inForce("10.96.0.1:80 default/one");
  await node.write("many.json", notProxied);
  await until(async () => await proxy.dropped("queue") > 0, "dropped lines");
  await until(async () => (await proxy.healthz()).endsWith("200"), "answer of /healthz");
  await node.write("two.json", reachable("two", "10.96.0.2"));
  await proxy.inForce("10.96.0.1:80 default/one", "10.96.0.2:80 default/two");
  let log = "";
  const logged = collect(proxy.process.stderr, (text) => log += text);
  await until(
    () => Promise.resolve(/"Log lines were dropped" lines=[1-9]\d* /.test(log)),
    "report of dropped lines",
  );
  assert.equal(await proxy.end(), 0);
  await logged;
  assert.match(log, /"Stopping; the rules stay in force"\n$/);
});

Deno.test("SIGTERM ends the proxy while nobody reads its log", async () => {
  await using node = await Node.make();
  await node.write("one.json", reachable("one", "10.96.0.1"));
  await node.write("many.json", notProxied.slice(0, 2000));
  await using proxy = new QuietProxy(node, "", "-v=4");
  await proxy.inForce("10.96.0.1:80 default/one");
  assert.equal(await proxy.end(), 0);
});

Deno.test("the message of a mistake is complete, also for a slow reader", async () => {
  await using node = await Node.make();
  const value = "x".repeat(120_000);
  const script = `"$@" 2>&1 >/dev/null | (sleep 0.5; cat)`;
  const command = ["sh", "-c", script, "sh", proxyBinary, `--proxy-mode=${value}`];
  const { stdout } = await node.spawn(command).output();
  const message = new TextDecoder().decode(stdout);
  assert.ok(message.startsWith(`proxy: --proxy-mode "${value}": must be `), message.slice(-300));
  assert.ok(message.endsWith("\n"));
});

Deno.test("a command whose output has no reader ends quietly, and one whose output cannot be written says so", async () => {
  await using node = await Node.make();
  const shell = async (script: string) => {
    const { code, stderr } = await node.spawn(["sh", "-c", script, "sh", proxyBinary]).output();
    return { code, stderr: new TextDecoder().decode(stderr) };
  };
  for (const command of ["--help", "--version", "check"]) {
    const { stderr } = await shell(`"$1" ${command} | true`);
    assert.equal(stderr, "", command);
    assert.deepEqual(await shell(`"$1" ${command} >/dev/full`), {
      code: 1,
      stderr: "proxy: standard output cannot be written: No space left on device (os error 28)\n",
    });
  }
});
