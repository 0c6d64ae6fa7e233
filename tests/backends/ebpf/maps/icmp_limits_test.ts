import assert from "node:assert/strict";
import { readIcmpLimits } from "../../../../backends/ebpf/maps/icmp_limits.ts";

async function withSysctls(sysctls: Readonly<Record<string, string>>, body: (directory: string) => void) {
  const directory = await Deno.makeTempDir();
  for (const [name, value] of Object.entries(sysctls)) {
    const path = `${directory}/${name.replaceAll(".", "/")}`;
    await Deno.mkdir(path.replace(/\/[^/]+$/, ""), { recursive: true });
    await Deno.writeTextFile(path, `${value}\n`);
  }
  body(directory);
  await Deno.remove(directory, { recursive: true });
}

Deno.test("limits of ICMP errors are the kernel's, and its defaults where it does not tell", async () => {
  await withSysctls({}, (directory) => {
    assert.deepEqual(readIcmpLimits(directory), {
      intervalMs: 1000,
      intervalMsIPv6: 1000,
      perSecond: 1000,
      burst: 50,
    });
  });
  const sysctls = {
    "net.ipv4.icmp_ratelimit": "500",
    "net.ipv4.icmp_ratemask": "8",
    "net.ipv6.icmp.ratelimit": "100",
    "net.ipv6.icmp.ratemask": "1",
    "net.ipv4.icmp_msgs_per_sec": "10",
    "net.ipv4.icmp_msgs_burst": "5",
  };
  await withSysctls(sysctls, (directory) => {
    assert.deepEqual(readIcmpLimits(directory), {
      intervalMs: 500,
      intervalMsIPv6: 100,
      perSecond: 10,
      burst: 5,
    });
  });
});

Deno.test("a source has no limit if the kernel does not limit unreachable destinations", async () => {
  await withSysctls(
    { "net.ipv4.icmp_ratemask": "6160", "net.ipv6.icmp.ratemask": "0,3-127" },
    (directory) => {
      const { intervalMs, intervalMsIPv6 } = readIcmpLimits(directory);
      assert.deepEqual({ intervalMs, intervalMsIPv6 }, { intervalMs: 0, intervalMsIPv6: 0 });
    },
  );
});
