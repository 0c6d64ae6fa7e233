import assert from "node:assert/strict";
import { assertComplaint, Node } from "../cli/support/node.ts";
import { service, slice } from "../cli/support/objects.ts";
import { program } from "./support/serving_node.ts";
import { until } from "./support/until.ts";

/** Runs a command as a user without any privilege, who may use all ports. */
const UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

const flags = ["--proxy-mode=userspace", "--userspace-rules=false", "--userspace-loopback=127.64.0.0/16"];

Deno.test("mode userspace without rules serves node ports and loopback addresses, and needs no privilege", async () => {
  await using node = await Node.make();
  await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=80");
  await Deno.chmod(node.directory, 0o755);
  await node.write("web.json", [
    service("web", "10.96.0.10", { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] }),
    slice("web", ["127.0.0.2"]),
  ]);
  const echo = node.spawn(["python3", program("echo.py"), "127.0.0.2", "8080"]);
  try {
    await using proxy = node.startWith(UNPRIVILEGED, ...flags);
    await proxy.inForce();
    assert.match(
      proxy.log,
      /--userspace-rules=false: serves node ports from 1024 on and ClusterIPs only on loopback/,
    );
    for (const [address, port] of [["127.0.0.1", 30080], ["127.64.0.10", 80]] as const) {
      const exchange = `import socket
with socket.create_connection(("${address}", ${port}), timeout=10) as connection:
    connection.sendall(b"hello")
    print(connection.recv(5).decode())`;
      assert.equal((await node.namespace.run("python3", "-c", exchange)).trim(), "hello", address);
    }
    assert.equal((await node.ruleset()).trim(), "");

    const warning = /This process may not read the rules of other modes/g;
    await proxy.logs(warning);
    assert.equal(proxy.log.match(warning)?.length, 1);
    assert.doesNotMatch(proxy.log, /^E\d{4} /m);
    assert.doesNotMatch(proxy.log, /conntrack|connection tracking/);
    assert.equal((await proxy.end()).code, 0);
    assert.match(proxy.log, /"Stopping; Services answer only while a proxy runs"/);
  } finally {
    echo.kill("SIGKILL");
    await Promise.all([echo.status, echo.stdout.cancel(), echo.stderr.cancel()]);
  }
});

Deno.test("without rules, node ports are on the addresses of --nodeport-addresses, and refuse without endpoints", async () => {
  await using node = await Node.make();
  await Deno.chmod(node.directory, 0o755);
  const ports = (nodePort: number) => ({ type: "NodePort", ports: [{ port: 80, nodePort }] });
  await node.write("web.json", [
    service("web", "10.96.0.10", ports(30080)),
    slice("web", ["127.0.0.2"]),
    service("elsewhere", "10.96.0.11", { ...ports(30081), externalTrafficPolicy: "Local" }),
    slice("elsewhere", [], { endpoints: [{ addresses: ["127.0.0.3"], nodeName: "another" }] }),
  ]);
  const listening = async () => (await node.namespace.run("ss", "-tlnH")).match(/\S+:3008\d(?= )/g);
  await using proxy = node.startWith(
    UNPRIVILEGED,
    "--proxy-mode=userspace",
    "--userspace-rules=false",
    "--nodeport-addresses=127.0.0.0/8",
  );
  await proxy.inForce();
  assert.deepEqual(await listening(), ["127.0.0.1:30080"]);
  assert.equal((await proxy.end()).code, 0);
});

Deno.test("the names in the hosts file lead to the Services, and the status has their addresses", async () => {
  await using node = await Node.make();
  await node.namespace.run("sysctl", "-qw", "net.ipv4.ip_unprivileged_port_start=80");
  await Deno.chmod(node.directory, 0o755);
  const hosts = `${node.directory}/names/hosts`;
  await Deno.mkdir(`${node.directory}/names`);
  await Deno.chown(`${node.directory}/names`, 65534, 65534);
  await node.write("services.json", [
    service("web", "10.96.0.10"),
    slice("web", ["127.0.0.2"]),
    service("privileged", "10.96.0.11", { ports: [{ port: 79 }] }),
    slice("privileged", ["127.0.0.2"]),
    service("thief", "10.97.0.10"),
    slice("thief", ["127.0.0.2"]),
  ]);
  const echo = node.spawn(["python3", program("echo.py"), "127.0.0.2", "8080"]);
  try {
    await using proxy = node.startWith(UNPRIVILEGED, ...flags, `--userspace-hosts-file=${hosts}`);
    await proxy.inForce();
    const exchange = `import socket
with socket.create_connection(("web.default.svc", 80), timeout=10) as connection:
    connection.sendall(b"hello")
    print(connection.getpeername()[0], connection.recv(5).decode())`;
    const withHosts = `mount --bind ${hosts} /etc/hosts && exec python3 -c '${exchange}'`;
    const answer = await node.namespace.run("unshare", "--mount", "sh", "-c", withHosts);
    assert.equal(answer.trim(), "127.64.0.10 hello");
    assert.doesNotMatch(await Deno.readTextFile(hosts), /privileged|thief/);
    assert.match(
      proxy.log,
      /default\/thief \(10\.97\.0\.10\) is not served .* default\/web \(10\.96\.0\.10\)/,
    );
    const table = await node.run(["status", ...flags]);
    assert.match(table.stdout, /loopback +1 Service on addresses of 127\.64\.0\.0\/16/);
    assert.match(table.stdout, /127\.64\.0\.10 default\/web 80\/TCP/);
    const json = JSON.parse((await node.run(["status", "-o", "json", ...flags])).stdout);
    assert.equal(json.loopback.hostsFile, hosts);
    const problems: { service: string; reason: string }[] = json.loopback.notServed.first;
    const reasons = new Map(problems.map(({ service, reason }) => [service, reason]));
    assert.match(reasons.get("default/privileged") ?? "", /127\.64\.0\.11:79\/TCP: EACCES/);
    assert.match(reasons.get("default/thief") ?? "", /127\.64\.0\.10 is the address of default\/web/);
    assert.equal((await proxy.end()).code, 0);
    assert.deepEqual([...Deno.readDirSync(`${node.directory}/names`)], []);
  } finally {
    echo.kill("SIGKILL");
    await Promise.all([echo.status, echo.stdout.cancel(), echo.stderr.cancel()]);
  }
});

Deno.test("a node port that another program has is in the status, and served when it is free", async () => {
  await using node = await Node.make();
  await Deno.chmod(node.directory, 0o755);
  await node.write("web.json", [
    service("web", "10.96.0.10", { type: "NodePort", ports: [{ port: 80, nodePort: 30080 }] }),
    slice("web", ["127.0.0.2"]),
  ]);
  const echo = node.spawn(["python3", program("echo.py"), "127.0.0.2", "8080"]);
  const other = node.spawn(["python3", program("echo.py"), "0.0.0.0", "30080"]);
  const withoutRules = ["--proxy-mode=userspace", "--userspace-rules=false"];
  const problems = async () => {
    const { stdout } = await node.run(["status", "-o", "json", ...withoutRules]);
    return JSON.parse(stdout).errors.nodePorts;
  };
  try {
    await until(async () => (await node.namespace.run("ss", "-tlnH", "sport = :30080")) !== "");
    await using proxy = node.startWith(UNPRIVILEGED, ...withoutRules);
    await proxy.inForce();
    const { total, first: [problem] } = await problems();
    assert.deepEqual([total, problem.servicePort, problem.port], [1, "default/web", 30080]);
    assert.match(problem.reason, /0\.0\.0\.0:30080\/TCP: EADDRINUSE/);
    await proxy.logs(/default\/web is not served completely, and is tried again/);
    other.kill("SIGKILL");
    await until(async () => (await problems()).total === 0);
    assert.match(await node.namespace.run("ss", "-tlnH", "sport = :30080"), /0\.0\.0\.0:30080/);
    assert.equal((await proxy.end()).code, 0);
  } finally {
    for (const child of [echo, other]) {
      try {
        child.kill("SIGKILL");
      } catch {
        // It has ended.
      }
      await Promise.all([child.status, child.stdout.cancel(), child.stderr.cancel()]);
    }
  }
});

Deno.test("without privileges, the error of mode userspace names the flag that needs none", async () => {
  await using node = await Node.make();
  for (const mode of ["userspace", "auto"]) {
    const flags = [...node.source, ...node.identity, `--proxy-mode=${mode}`];
    assertComplaint(
      await node.run(flags, UNPRIVILEGED),
      /CAP_NET_ADMIN.*\. With --userspace-rules=false, the mode needs no privilege/,
    );
  }
});

Deno.test("a hosts file that cannot be written is one error before the start", async () => {
  await using node = await Node.make();
  const finished = await node.run(
    [...node.source, ...node.identity, ...flags, `--userspace-hosts-file=${node.directory}`],
    UNPRIVILEGED,
  );
  assertComplaint(
    finished,
    /hosts file: cannot write the hosts file .*: .*Give --userspace-hosts-file another path/,
  );
});
