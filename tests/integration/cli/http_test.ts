import assert from "node:assert/strict";
import { collect } from "./support/collect.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

/** Sends each request (in Latin-1) over a connection of its own, and prints the first line of each answer. */
const ASK = `
import json, socket, sys
for request in json.loads(sys.argv[1]):
    with socket.create_connection(("127.0.0.1", 10256)) as client:
        client.settimeout(30)
        client.sendall(request.encode("latin-1"))
        print(client.makefile("rb").readline().decode("latin-1").strip())
`;

/** Opens connections that send nothing, prints "open", and holds them until its input ends. */
const IDLE = `
import resource, socket, sys
resource.setrlimit(resource.RLIMIT_NOFILE, (4096, 4096))
held = [socket.create_connection(("127.0.0.1", int(sys.argv[1]))) for _ in range(int(sys.argv[2]))]
sys.stdout.write("open\\n")
sys.stdout.flush()
sys.stdin.read()
`;

/** A program that holds idle connections until it is disposed of. */
class IdleClients implements AsyncDisposable {
  private constructor(
    private readonly process: Deno.ChildProcess,
    private readonly output: Promise<string>,
  ) {}

  static async open(node: Node, port: number, count: number): Promise<IdleClients> {
    const args = ["netns", "exec", node.namespace.name, "python3", "-c", IDLE, `${port}`, `${count}`];
    const process = new Deno.Command("ip", { args, stdin: "piped", stdout: "piped" }).spawn();
    const opened = Promise.withResolvers<void>();
    const output = collect(process.stdout, (text) => text.includes("\n") && opened.resolve());
    await Promise.race([opened.promise, output]);
    return new IdleClients(process, output);
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.process.stdin.close();
    assert.equal(await this.output, "open\n");
    await this.process.status;
  }
}

function residentBytes({ pid }: RunningProxy): number {
  return Number(/VmRSS:\s+(\d+) kB/.exec(Deno.readTextFileSync(`/proc/${pid}/status`))?.[1]) * 1024;
}

function openFiles({ pid }: RunningProxy): number {
  return [...Deno.readDirSync(`/proc/${pid}/fd`)].length;
}

async function limitOpenFiles({ pid }: RunningProxy, limit: string): Promise<void> {
  const { success } = await new Deno.Command("prlimit", { args: [`--pid=${pid}`, `--nofile=${limit}`] })
    .output();
  assert.ok(success, "prlimit failed");
}

Deno.test("requests of every kind get the answers of Go's net/http from the binary", async () => {
  await using node = await Node.make();
  await using proxy = node.start();
  await proxy.inForce();
  // The last line of a start.
  await proxy.logs(/No rules of another mode remain" mode="ebpf"/);
  assert.equal((await proxy.health()).status, 200);
  const cases: readonly (readonly [string, string])[] = [
    ["GET /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"],
    ["GET /healthz HTTP/1.1\r\nHost:\r\n\r\n", "HTTP/1.1 200 OK"],
    ["GET /livez?verbose HTTP/1.0\r\n\r\n", "HTTP/1.0 200 OK"],
    ["GET http://balancer/healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"],
    ["HEAD /healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 200 OK"],
    [
      "POST /healthz HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nContent-Length: 1\r\n\r\n",
      "HTTP/1.1 200 OK",
    ],
    ["GET //healthz HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 307 Temporary Redirect"],
    ["GET /nowhere HTTP/1.1\r\nHost: x\r\n\r\n", "HTTP/1.1 404 Not Found"],
    ["GET /healthz HTTP/1.1\r\n\r\n", "HTTP/1.1 400 Bad Request: missing required Host header"],
    ["GET /healthz HTTP/1.1\r\nHost: a b\r\n\r\n", "HTTP/1.1 400 Bad Request: malformed Host header"],
    [
      `GET /healthz HTTP/1.1\r\nHost: ${"a b".repeat(30_000)}\r\n\r\n`,
      "HTTP/1.1 400 Bad Request: malformed Host header",
    ],
    ["\x16\x03\x01\x00\xa5\x01\r\n\r\n", "HTTP/1.1 400 Bad Request"],
  ];
  const before = proxy.log;
  const requests = JSON.stringify(cases.map(([request]) => request));
  const answers = await node.namespace.run("python3", "-c", ASK, requests);
  assert.deepEqual(answers.trim().split("\n"), cases.map(([, answer]) => answer));
  assert.equal(proxy.log, before, "nothing is logged");
});

Deno.test("2,000 idle connections cost little memory and lock nobody out", async () => {
  await using node = await Node.make();
  await using proxy = node.start();
  await proxy.inForce();
  await proxy.health();
  const [memory, files] = [residentBytes(proxy), openFiles(proxy)];
  await using _idle = await IdleClients.open(node, 10256, 2000);
  await using _more = await IdleClients.open(node, 10249, 2000);
  for (let i = 0; i < 20; i++) assert.equal((await proxy.health("/livez")).status, 200);
  assert.match(await node.metrics(), /^process_open_fds/m);
  assert.ok(openFiles(proxy) - files <= 300, `${openFiles(proxy)} descriptors, ${files} before`);
  const grownMiB = (residentBytes(proxy) - memory) / 2 ** 20;
  assert.ok(grownMiB < 15, `${grownMiB.toFixed(1)} MiB more`);
  assert.equal(proxy.log.match(/Too many clients are connected/g)?.length, 2, "once per server");
});

Deno.test("a proxy with few file descriptors keeps enough of them for its work while clients idle", async () => {
  await using node = await Node.make();
  await using proxy = node.startWith(["prlimit", "--nofile=96:96"]);
  await proxy.inForce();
  await proxy.health();
  await using _idle = await IdleClients.open(node, 10256, 300);
  await using _more = await IdleClients.open(node, 10249, 300);
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await proxy.until(async () => (await node.services()).includes("10.96.0.10:80 default/web"), "service");
  assert.equal((await proxy.health()).status, 200);
  assert.ok(openFiles(proxy) < 90, `${openFiles(proxy)} descriptors`);
  assert.doesNotMatch(proxy.log, /os error 24|EMFILE/);
});

Deno.test("a proxy that cannot open files stays, says so once, and goes on when it can", async () => {
  await using node = await Node.make();
  await node.namespace.run("ip", "link", "add", "test0", "type", "veth", "peer", "name", "test1");
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  await proxy.health();
  await limitOpenFiles(proxy, "8:");
  await node.namespace.run("ip", "addr", "add", "192.0.2.1/24", "dev", "test0");
  await node.write("more.json", reachable("more", "10.96.0.11"));
  {
    await using _idle = await IdleClients.open(node, 10256, 100);
    await proxy.logs(/Accepting a connection failed/);
    // Long enough for several retries of everything that is retried.
    await new Promise((resolve) => setTimeout(resolve, 3000));
  }
  assert.ok(proxy.isRunning, proxy.log);
  assert.equal(proxy.log.match(/Accepting a connection failed/g)?.length, 1, proxy.log);
  await limitOpenFiles(proxy, "4096:");
  assert.equal((await proxy.health()).status, 200);
  await proxy.until(
    async () => (await node.services()).includes("10.96.0.11:80 default/more"),
    "service that was added without descriptors",
  );
});
