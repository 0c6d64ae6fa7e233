import assert from "node:assert/strict";
import { IpvsConnection } from "../../../../backends/ipvs/protocol/connection.ts";
import { IPVS_CMD_NEW_DEST, IPVS_CMD_NEW_SERVICE } from "../../../../backends/ipvs/protocol/constants.ts";
import { tryScheduler } from "../../../../backends/ipvs/servers/schedulers.ts";
import { errnoOf } from "../../../../ffi/errno.ts";
import { KernelError } from "../../../../ffi/errors.ts";
import { messages } from "../../../../ffi/netlink/reader.ts";
import { FakeTransport } from "../../../ffi/netlink/fake_transport.ts";
import { fakeIpvs } from "../fake_kernel.ts";
import { real, virtual } from "../servers.ts";

const web = virtual("10.96.0.10:80/TCP");

Deno.test("commands are one datagram, and a rejection describes the rejected command", async () => {
  const kernel = fakeIpvs(({ payload }) => payload[0] === IPVS_CMD_NEW_DEST ? "EEXIST" : "");
  using connection = await IpvsConnection.open(() => kernel);
  const add = { verb: "add real", server: web, realServer: real("10.1.0.1:8080") } as const;
  const rejected = await connection.perform([{ verb: "add", server: web }, add]);
  assert.equal(kernel.sent.length, 2, "the request for the family id, and the commands");
  assert.deepEqual(rejected.map(({ command }) => command), [add]);
  assert.equal(
    rejected[0]?.error.message,
    "add real server 10.1.0.1:8080 to virtual server 10.96.0.10:80/TCP: EEXIST (File exists)",
  );
});

Deno.test("a lack of privileges is reported once, not for every command", async () => {
  using connection = await IpvsConnection.open(() => fakeIpvs(() => "EPERM"));
  await assert.rejects(
    connection.perform([{ verb: "add", server: web }, { verb: "remove", server: web }]),
    /add virtual server 10\.96\.0\.10:80\/TCP: EPERM .*(has|lacks) CAP_NET_ADMIN/,
  );
});

Deno.test("without IPVS in the kernel the error says how to get it, and the socket is closed", async () => {
  const kernel = new FakeTransport(() => {
    throw new KernelError("find the family", errnoOf("ENOENT"));
  });
  await assert.rejects(
    IpvsConnection.open(() => kernel, (name) => `because there is no ${name}`),
    /family IPVS: ENOENT .*IPVS is in the kernel module ip_vs \(CONFIG_IP_VS\), which could not be loaded because there is no ip_vs\. Run on the node: modprobe ip_vs$/,
  );
  assert.ok(kernel.closed);
});

Deno.test("a scheduler is tried with a virtual server that no service has, and that is removed again", async () => {
  const commands: (number | undefined)[] = [];
  using connection = await IpvsConnection.open(() =>
    fakeIpvs(({ payload }) => {
      commands.push(payload[0]);
      // Normally there is nothing to remove before the addition.
      return commands.length === 1 ? "ESRCH" : "";
    })
  );
  await tryScheduler(connection, "rr");
  assert.deepEqual(commands, [3, 1, 3]);
});

Deno.test("the error about a missing scheduler says what to load; other errors are passed on", async () => {
  const rejecting = (errno: string) =>
    IpvsConnection.open(() => fakeIpvs(({ payload }) => payload[0] === IPVS_CMD_NEW_SERVICE ? errno : ""));
  using withoutIt = await rejecting("ENOENT");
  await assert.rejects(
    tryScheduler(withoutIt, "nosuch"),
    /use the scheduler nosuch of IPVS.*ENOENT.*ip_vs_nosuch is missing and could not be loaded.*\. Run on the node: modprobe ip_vs_nosuch$/,
  );
  using withoutIPv6 = await rejecting("EAFNOSUPPORT");
  await assert.rejects(
    tryScheduler(withoutIPv6, "rr", "IPv6"),
    /add virtual server \[2001:db8::\]:20000\/TCP: EAFNOSUPPORT/,
  );
});

Deno.test("lists can be empty", async () => {
  const kernel = fakeIpvs(() => "");
  using connection = await IpvsConnection.open(() => kernel);
  assert.deepEqual(await connection.virtualServers(), []);
  assert.deepEqual(await connection.realServers(web), []);
  assert.deepEqual(kernel.sent.map((sent) => [...messages(sent)].length), [1, 1, 1]);
});
