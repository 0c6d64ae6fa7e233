import assert from "node:assert/strict";
import { NETLINK_NETFILTER, NETLINK_ROUTE } from "../../../ffi/netlink/constants.ts";
import { processOfPort } from "../../../ffi/netlink/port_owner.ts";

/** A directory like /proc with these sockets of processes. */
function fakeProc(processes: Readonly<Record<number, { comm: string; sockets: readonly number[] }>>): string {
  const proc = Deno.makeTempDirSync({ prefix: "proc-" });
  Deno.mkdirSync(`${proc}/net`);
  Deno.mkdirSync(`${proc}/sys`);
  Deno.writeTextFileSync(
    `${proc}/net/netlink`,
    "sk               Eth Pid        Groups   Rmem     Wmem     Dump  Locks    Drops    Inode\n" +
      "00000000270d1dcb 0   4711       00000000 0        0        0     2        0        500\n" +
      "00000000270d1dcb 12  4711       00000000 0        0        0     2        0        501\n" +
      "00000000270d1dcc 12  4293271592 00000000 0        0        0     2        0        502\n" +
      "00000000270d1dcd 12  99         00000000 0        0        0     2        0        503\n",
  );
  for (const [pid, { comm, sockets }] of Object.entries(processes)) {
    Deno.mkdirSync(`${proc}/${pid}/fd`, { recursive: true });
    Deno.writeTextFileSync(`${proc}/${pid}/comm`, `${comm}\n`);
    for (const inode of sockets) Deno.symlinkSync(`socket:[${inode}]`, `${proc}/${pid}/fd/${inode}`);
  }
  return proc;
}

Deno.test("the process of a netlink port is the one that holds its socket, whatever the port's number", () => {
  const proc = fakeProc({
    1: { comm: "init", sockets: [] },
    4711: { comm: "firewalld", sockets: [500, 501] },
    99: { comm: "bystander", sockets: [7] },
    815: { comm: "nft", sockets: [502] },
  });
  try {
    assert.deepEqual(processOfPort(NETLINK_NETFILTER, 4711, proc), { pid: 4711, name: "firewalld" });
    assert.deepEqual(processOfPort(NETLINK_ROUTE, 4711, proc), { pid: 4711, name: "firewalld" });
    assert.deepEqual(processOfPort(NETLINK_NETFILTER, 4293271592, proc), { pid: 815, name: "nft" });
    assert.equal(processOfPort(NETLINK_NETFILTER, 99, proc), undefined, "the socket is another process's");
    assert.equal(processOfPort(NETLINK_NETFILTER, 5, proc), undefined);
  } finally {
    Deno.removeSync(proc, { recursive: true });
  }
});
