import assert from "node:assert/strict";
import { assertComplaint, Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";

/** Starts a program as root without the capability, like a container that does not list it. */
const withoutNetAdmin = ["setpriv", "--bounding-set=-net_admin", "--inh-caps=-net_admin"];

/**
 * Starts a program with a seccomp filter that answers socket(AF_NETLINK, …, NETLINK_NETFILTER) with EPROTONOSUPPORT, as
 * a kernel without nfnetlink does.
 */
const withoutNetfilter = [
  "python3",
  "-c",
  `
import ctypes, os, struct, sys

LOAD, JUMP_IF_EQUAL, RETURN = 0x20, 0x15, 0x06
ALLOW, EPROTONOSUPPORT = 0x7fff0000, 0x00050000 | 93
SOCKET = {"x86_64": 41, "aarch64": 198}[os.uname().machine]
# Offsets in struct seccomp_data: the number of the system call, the first and the third argument.
tests = [(0, SOCKET), (16, 16), (32, 12)]
code = b""
for number, (offset, value) in enumerate(tests):
    code += struct.pack("HBBI", LOAD, 0, 0, offset)
    code += struct.pack("HBBI", JUMP_IF_EQUAL, 0, 2 * (len(tests) - number) - 1, value)
code += struct.pack("HBBI", RETURN, 0, 0, EPROTONOSUPPORT)
code += struct.pack("HBBI", RETURN, 0, 0, ALLOW)
program = ctypes.create_string_buffer(code)
filter = struct.pack("HxxxxxxP", len(code) // 8, ctypes.addressof(program))
PR_SET_SECCOMP, SECCOMP_MODE_FILTER = 22, 2
if ctypes.CDLL(None).prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, filter, 0, 0) != 0:
    sys.exit("seccomp filter rejected")
os.execvp(sys.argv[1], sys.argv[1:])
`,
];

Deno.test("without CAP_NET_ADMIN, one message names the capability and where to grant it; nothing is lost", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const proxy = node.start();
  await proxy.inForce();
  await proxy.end();
  const rules = await node.ruleset();

  const remedy = [/CAP_NET_ADMIN/, /docs\/operations\.md#privileges/];
  assertComplaint(await node.run([...node.source, ...node.identity], withoutNetAdmin), ...remedy);
  const check = await node.run(["check"], withoutNetAdmin);
  assert.equal(check.code, 1);
  for (const pattern of remedy) assert.match(check.stdout, pattern);
  const cleanup = await node.run(["--cleanup"], withoutNetAdmin);
  assert.equal(cleanup.code, 1);
  for (const pattern of remedy) assert.match(cleanup.stderr, pattern);
  const told = [...cleanup.stderr.matchAll(/mode="(\w+)".*#privileges/g)].map(([, mode]) => mode);
  assert.deepEqual(told, ["nftables", "iptables", "ipvs", "ebpf", "userspace"], "told once by each mode");
  assert.equal(await node.ruleset(), rules);
  assert.match(rules, /10\.96\.0\.10/);
});

Deno.test("without CAP_NET_RAW, mode userspace starts, and says who gets no ICMP errors", async () => {
  const withoutNetRaw = ["setpriv", "--bounding-set=-net_raw", "--inh-caps=-net_raw"];
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const proxy = node.startWith(withoutNetRaw, "--proxy-mode=userspace");
  await proxy.inForce();
  assert.match(proxy.log, /raw sockets are forbidden.*Give CAP_NET_RAW/);
  await proxy.end();

  const check = async (...args: string[]) => {
    const { code, stdout } = await node.run(["check", "--proxy-mode=userspace", ...args], withoutNetRaw);
    assert.equal(code, 0);
    return stdout;
  };
  assert.match(await check(), /^WARNING +userspace +CAP_NET_RAW /m);
  assert.match(await check("--userspace-rules=false"), /^absent +userspace +CAP_NET_RAW /m);
  const { stdout } = await node.run(["check", "--proxy-mode=userspace"]);
  assert.match(stdout, /^ok +userspace +CAP_NET_RAW /m);
});

Deno.test("without nf_tables in the kernel, one message names the kernel options", async () => {
  await using node = await Node.make();
  const finished = await node.run([...node.source, ...node.identity], withoutNetfilter);
  assertComplaint(
    finished,
    /nf_tables in the kernel: .*EPROTONOSUPPORT/,
    /CONFIG_NF_TABLES/,
    /modprobe nfnetlink/,
  );
  const check = await node.run(["check"], withoutNetfilter);
  assert.equal(check.code, 1);
  assert.match(
    check.stdout,
    /^MISSING +nftables iptables ipvs userspace +nf_tables in the kernel .*CONFIG_NF_TABLES/m,
  );

  const cleanup = await node.run(["--cleanup"], withoutNetfilter);
  assert.equal(cleanup.code, 0, `there is nothing to clean up, but\n${cleanup.stderr}`);
  const cleaned = [...cleanup.stderr.matchAll(/"Removed all rules" mode="(\w+)"/g)].map(([, mode]) => mode);
  assert.deepEqual(cleaned, ["nftables", "iptables", "ipvs", "ebpf", "userspace"]);
});

Deno.test("a health port in use is logged and retried; with --bind-address-hard-fail it ends the process", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  const holder = node.spawn(["python3", "-c", holdHealthPort]);
  const reader = holder.stdout.getReader();
  await reader.read();
  const taken = /healthz server cannot listen on 0\.0\.0\.0:10256: another process listens on it/;
  try {
    const failed = await node.run([...node.source, ...node.identity, "--bind-address-hard-fail"]);
    assertComplaint(failed, taken);

    await using proxy = node.start();
    await proxy.logs(taken);
    await proxy.inForce();
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
    holder.kill("SIGKILL");
    await holder.status;
    assert.equal((await proxy.health()).status, 200, "on the port that is free again");
  } finally {
    if ((await Promise.race([holder.status, Promise.resolve()])) === undefined) holder.kill("SIGKILL");
    await Promise.all([reader.cancel(), holder.stderr.cancel(), holder.status]);
  }
});

const holdHealthPort = `
import socket, sys, time
server = socket.create_server(("0.0.0.0", 10256))
print("holding", flush=True)
time.sleep(60)
`;
