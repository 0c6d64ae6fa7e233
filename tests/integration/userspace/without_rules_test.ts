import assert from "node:assert/strict";
import { Node } from "../cli/support/node.ts";
import { service, slice } from "../cli/support/objects.ts";
import { program } from "./support/serving_node.ts";

/** Runs a command as a user without any privilege, who may use all ports. */
const UNPRIVILEGED = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", "--inh-caps=-all"];

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
    const flags = ["--proxy-mode=userspace", "--userspace-rules=false", "--userspace-loopback=127.64.0.0/16"];
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
    assert.equal((await proxy.end()).code, 0);
  } finally {
    echo.kill("SIGKILL");
    await Promise.all([echo.status, echo.stdout.cancel(), echo.stderr.cancel()]);
  }
});
