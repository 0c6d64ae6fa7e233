import assert from "node:assert/strict";
import {
  type TranslatedFlow,
  writeCreate,
  writeDeleteByOriginal,
  writeDeleteByReply,
} from "../../../backends/conntrack/translated_flow.ts";
import { NetlinkClient } from "../../../ffi/netlink/client.ts";
import { NETLINK_NETFILTER } from "../../../ffi/netlink/constants.ts";
import type { MessageWriter } from "../../../ffi/netlink/writer.ts";
import { IPPROTO_TCP, IPPROTO_UDP } from "../../../ffi/inet.ts";
import { addressOf } from "../../backends/plans.ts";

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

/** Run by conntrack_test.ts in its own network namespace. */

type Write = (writer: MessageWriter, seq: number, flow: TranslatedFlow) => void;

const ipv4: TranslatedFlow = {
  protocol: IPPROTO_TCP,
  source: { address: addressOf("192.168.8.9"), port: 40000 },
  destination: { address: addressOf("192.168.8.1"), port: 30080 },
  translatedSource: { address: addressOf("10.244.1.1"), port: 1234 },
  translatedDestination: { address: addressOf("10.244.1.11"), port: 8080 },
  hasReplied: true,
  isAssured: true,
  isClosing: false,
  timeoutSeconds: 1000,
};
const ipv6: TranslatedFlow = {
  ...ipv4,
  protocol: IPPROTO_UDP,
  source: { address: addressOf("fd00:8::9"), port: 40000 },
  destination: { address: addressOf("fd00:8::1"), port: 30053 },
  translatedSource: { address: addressOf("fd00:8::9"), port: 40000 },
  translatedDestination: { address: addressOf("fd00:244:1::11"), port: 5353 },
};

Deno.test(
  "an entry is created as conntrack -L lists it, and deleted by either tuple",
  keepsLibraries,
  async () => {
    await rejectedBy(
      [ipv4, {
        ...ipv4,
        hasReplied: false,
        isAssured: false,
        source: { ...ipv4.source, port: 1 },
        translatedSource: { ...ipv4.translatedSource, port: 1 },
      }, {
        ...ipv4,
        isAssured: false,
        source: { ...ipv4.source, port: 2 },
        translatedSource: { ...ipv4.translatedSource, port: 2 },
      }, ipv6],
      writeCreate,
      0,
    );
    assert.deepEqual(await entries("ipv4"), [
      "tcp ESTABLISHED src=192.168.8.9 dst=192.168.8.1 sport=40000 dport=30080 " +
      "src=10.244.1.11 dst=10.244.1.1 sport=8080 dport=1234 [ASSURED]",
      "tcp SYN_RECV src=192.168.8.9 dst=192.168.8.1 sport=2 dport=30080 " +
      "src=10.244.1.11 dst=10.244.1.1 sport=8080 dport=2",
      "tcp SYN_SENT src=192.168.8.9 dst=192.168.8.1 sport=1 dport=30080 [UNREPLIED] " +
      "src=10.244.1.11 dst=10.244.1.1 sport=8080 dport=1",
    ]);
    assert.deepEqual(await entries("ipv6"), [
      "udp src=fd00:8::9 dst=fd00:8::1 sport=40000 dport=30053 " +
      "src=fd00:244:1::11 dst=fd00:8::9 sport=5353 dport=40000 [ASSURED]",
    ]);
    await rejectedBy([ipv4], writeCreate, 1);
    await rejectedBy([ipv4], writeDeleteByReply, 0);
    await rejectedBy([ipv6], writeDeleteByOriginal, 0);
    assert.equal((await entries("ipv4")).length, 2);
    assert.deepEqual(await entries("ipv6"), []);
  },
);

/** Sends one request per flow. */
async function rejectedBy(flows: readonly TranslatedFlow[], write: Write, rejections: number): Promise<void> {
  using client = NetlinkClient.open(NETLINK_NETFILTER);
  const rejected = await client.pipeline(flows, write);
  assert.deepEqual(rejected.length, rejections, rejected.map(({ answer }) => answer.errno).join());
}

async function entries(family: string): Promise<string[]> {
  const args = ["-L", "-f", family];
  const { stdout } = await new Deno.Command("conntrack", { args }).output();
  return new TextDecoder().decode(stdout).split("\n").filter((line) => line !== "")
    .map((line) => line.replace(/^(\w+) +\d+ \d+ /, "$1 ").replace(/ mark=.*/, "").replaceAll(/ +/g, " "))
    .sort();
}
