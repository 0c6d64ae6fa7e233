import { Node } from "../cli/support/node.ts";
import { service, slice } from "../cli/support/objects.ts";
import { PrivateMounts } from "./support/private_mounts.ts";

Deno.test("the log names a Service that there is no room for a Maglev table for", async () => {
  await using mounts = await PrivateMounts.make();
  await using node = await Node.make();
  for (let index = 1; index <= 3; index++) {
    const name = `web-${index}`;
    const metadata = { name, namespace: "default", annotations: { "proxy/balancing": "maglev" } };
    const balanced = { ...service(name, `10.96.0.${index}`), metadata };
    await node.write(`${name}.json`, [balanced, slice(name, ["10.244.1.11"])]);
  }
  // Room for one table of the namespace.
  await using proxy = node.start(
    "--proxy-mode=ebpf",
    `--ebpf-bpffs=${mounts.bpffs}`,
    `--ebpf-cgroup=${mounts.cgroup}`,
    "--ebpf-max-endpoints=4096",
    "--ebpf-maglev-table-size=1021",
  );
  await proxy.logs(
    /does not serve all of a service port.*servicePort="default\/web-\d:?\w*".*no room for its Maglev/,
  );
});
