import assert from "node:assert/strict";
import { readCluster } from "../../../../core/commands/cluster/read_cluster.ts";
import { libc } from "../../../../ffi/libraries/libc.ts";
import { libnl } from "../../../../ffi/libraries/libnl.ts";
import { configOf } from "../../config/loaded.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";

// Before the tests, because a library that a test opens first would be reported as its leak.
libc();
libnl();

// The thread that waits for notifications of the kernel ends soon after the test, and libraries stay open.
const options = { sanitizeOps: false, sanitizeResources: false };

const web = `
apiVersion: v1
kind: Service
metadata: {name: web, namespace: default}
spec: {clusterIPs: [10.96.0.10], ports: [{port: 80, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: other, namespace: default}
spec: {clusterIPs: [10.96.0.11], externalIPs: [10.96.0.10], ports: [{port: 80, protocol: TCP}]}
---
apiVersion: v1
kind: Service
metadata: {name: headless, namespace: default}
spec: {clusterIP: None, ports: [{port: 80}]}
---
apiVersion: v1
kind: Service
metadata: {name: broken, namespace: default}
spec: {clusterIPs: [10.96.0.12], ports: [{port: 99999}]}
`;

Deno.test("the source is read once, without a record of what is in force", options, async () => {
  const directory = Deno.makeTempDirSync();
  const records = Deno.makeTempDirSync();
  const before = Deno.env.get("RUNTIME_DIRECTORY");
  Deno.env.set("RUNTIME_DIRECTORY", records);
  try {
    Deno.writeTextFileSync(`${directory}/web.yaml`, web);
    const config = await configOf(`--manifests=${directory}`, "--hostname-override=here");
    const cluster = await readCluster(config, new RecordingLog());
    assert.deepEqual([...cluster.desired.plans.keys()].sort(), [
      "default/other/TCP/IPv4",
      "default/web/TCP/IPv4",
    ]);
    assert.deepEqual(cluster.desired.plans.get("default/web/TCP/IPv4" as never)?.internal, {
      verdict: "reject",
    });
    assert.deepEqual(
      cluster.unused.map(({ ref, isInvalid }) => [ref.name, isInvalid]),
      [["headless", false], ["broken", true]],
    );
    assert.match(
      cluster.warnings.map(({ name, note }) => `${name}: ${note}`).join(),
      /^other: 10.96.0.10:80/,
    );
    assert.deepEqual([...Deno.readDirSync(records)], []);
  } finally {
    if (before === undefined) Deno.env.delete("RUNTIME_DIRECTORY");
    else Deno.env.set("RUNTIME_DIRECTORY", before);
    Deno.removeSync(directory, { recursive: true });
    Deno.removeSync(records, { recursive: true });
  }
});

Deno.test("a source that does not deliver in time is an error that says why", options, async () => {
  // Accepts connections and never answers.
  using server = Deno.listen({ hostname: "127.0.0.1", port: 0 });
  const connections: Deno.Conn[] = [];
  const accepting = (async () => {
    for await (const connection of server) connections.push(connection);
  })();
  const config = await configOf(`--master=http://127.0.0.1:${server.addr.port}`, "--hostname-override=here");
  await assert.rejects(
    readCluster(config, new RecordingLog(), { deadlineMs: 300 }),
    /the objects cannot be read within 0.3 s: it does not answer/,
  );
  for (const connection of connections) connection.close();
  server.close();
  await accepting;
});
