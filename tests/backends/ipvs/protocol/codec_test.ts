import fc from "fast-check";
import assert from "node:assert/strict";
import * as ipvs from "../../../../backends/ipvs/protocol/constants.ts";
import {
  decodeRealServer,
  decodeTimeouts,
  decodeVirtualServer,
} from "../../../../backends/ipvs/protocol/decode.ts";
import {
  describeCommand,
  type IpvsCommand,
  writeCommand,
  writeDumpRealServers,
  writeDumpServers,
  writeFlush,
  writeTimeouts,
} from "../../../../backends/ipvs/protocol/encode.ts";
import { NLA_HDRLEN, NLM_F_ACK } from "../../../../ffi/netlink/constants.ts";
import { GENL_HDRLEN } from "../../../../ffi/netlink/genetlink.ts";
import { attribute, attributes, messages, type NetlinkMessage } from "../../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { hex } from "../../../ffi/netlink/hex.ts";
import { addressOf, real, virtual } from "../servers.ts";
import * as golden from "./ipvsadm_goldens.ts";

const FAMILY = 0x20;

const web = virtual("10.96.0.10:80/TCP", { scheduler: "rr" });
const dns = virtual("10.96.0.11:53/UDP", { scheduler: "wrr", persistenceSeconds: 10800 });
const secure = virtual("[fd00:96::a]:443/TCP", {
  scheduler: "mh",
  persistenceSeconds: 60,
  flags: ipvs.IP_VS_SVC_F_SCHED2,
});

function message(bytes: Uint8Array): NetlinkMessage {
  const [first] = messages(bytes);
  assert.ok(first !== undefined);
  return first;
}

function written(write: (writer: MessageWriter) => void): NetlinkMessage {
  const writer = new MessageWriter();
  write(writer);
  return message(writer.bytes().slice());
}

function commanded(command: IpvsCommand): NetlinkMessage {
  return written((writer) => writeCommand(writer, FAMILY, 1, command));
}

/** The fields that do not differ between runs. */
function fieldsOf(
  { type, flags, payload }: NetlinkMessage,
): { type: number; flags: number; payload: string } {
  return { type, flags: flags & ~NLM_F_ACK, payload: payload.toHex() };
}

/** The attributes of a nest by type, in hex. Leaves out zeros, which are the default. */
function attributesIn({ payload }: NetlinkMessage, nest: number): Map<number, string> {
  const outer = attribute(payload, nest, GENL_HDRLEN);
  assert.ok(outer !== undefined);
  return new Map(
    [...outer.attributes()].map(({ type, bytes }) => [type, bytes.toHex()] as const)
      .filter(([, value]) => /[^0]/.test(value)),
  );
}

Deno.test("virtual servers are added and changed as ipvsadm does", () => {
  const rows: readonly [IpvsCommand, string][] = [
    [{ verb: "add", server: web }, golden.ADD_TCP],
    [{ verb: "add", server: dns }, golden.ADD_UDP_PERSISTENT],
    [{ verb: "add", server: secure }, golden.ADD_V6_MAGLEV],
    [{ verb: "change", server: { ...dns, scheduler: "rr", persistenceSeconds: 0 } }, golden.CHANGE],
  ];
  for (const [command, stock] of rows) {
    assert.deepEqual(fieldsOf(commanded(command)), fieldsOf(message(hex(stock))), describeCommand(command));
  }
});

Deno.test("real servers are written as ipvsadm does, with the identity of their virtual server", () => {
  const rows: readonly [IpvsCommand, string][] = [
    [{ verb: "add real", server: web, realServer: real("10.1.0.1:8080") }, golden.ADD_REAL],
    [{ verb: "add real", server: secure, realServer: real("[fd00:1::1]:8443") }, golden.ADD_REAL_V6],
    [{ verb: "change real", server: web, realServer: real("10.1.0.2:8080", 0) }, golden.CHANGE_REAL],
    // ipvsadm sends another forwarding method and weight for a removal, which the kernel ignores.
    [{ verb: "remove real", server: web, realServer: real("10.1.0.2:8080") }, golden.REMOVE_REAL],
  ];
  for (const [command, stock] of rows) {
    const [own, theirs] = [commanded(command), message(hex(stock))];
    assert.equal(own.payload[0], theirs.payload[0], describeCommand(command));
    const destination = attributesIn(theirs, ipvs.IPVS_CMD_ATTR_DEST);
    if (command.verb === "remove real") destination.delete(ipvs.IPVS_DEST_ATTR_FWD_METHOD);
    assert.deepEqual(attributesIn(own, ipvs.IPVS_CMD_ATTR_DEST), destination);
    const named = [...attributesIn(theirs, ipvs.IPVS_CMD_ATTR_SERVICE)].filter(([type]) =>
      type <= ipvs.IPVS_SVC_ATTR_PORT
    );
    assert.deepEqual([...attributesIn(own, ipvs.IPVS_CMD_ATTR_SERVICE)], named);
  }
});

Deno.test("real servers are sent with all attributes, even if 0, because the kernel requires them", () => {
  const { payload } = commanded({ verb: "add real", server: web, realServer: real("10.1.0.1:8080", 0) });
  const destination = attribute(payload, ipvs.IPVS_CMD_ATTR_DEST, GENL_HDRLEN);
  const types = new Set([...destination?.attributes() ?? []].map(({ type }) => type));
  for (
    const type of [
      ipvs.IPVS_DEST_ATTR_FWD_METHOD,
      ipvs.IPVS_DEST_ATTR_WEIGHT,
      ipvs.IPVS_DEST_ATTR_U_THRESH,
      ipvs.IPVS_DEST_ATTR_L_THRESH,
    ]
  ) assert.ok(types.has(type), `${type}`);
});

Deno.test("a virtual server is removed by its identity, and a flush removes all of them", () => {
  const own = commanded({ verb: "remove", server: web });
  assert.equal(own.payload[0], message(hex(golden.REMOVE)).payload[0]);
  assert.equal(own.payload.toHex().slice(16), fieldsOf(message(hex(golden.ADD_TCP))).payload.slice(16, 104));
  const flush = written((writer) => writeFlush(writer, FAMILY, 1));
  assert.deepEqual(fieldsOf(flush), fieldsOf(message(hex(golden.FLUSH))));
});

Deno.test("timeouts are set as ipvsadm does, except those of 0", () => {
  const set = (tcpSeconds: number, tcpFinSeconds: number, udpSeconds: number) =>
    written((writer) => writeTimeouts(writer, FAMILY, 1, { tcpSeconds, tcpFinSeconds, udpSeconds }));
  assert.deepEqual(fieldsOf(set(900, 120, 300)), fieldsOf(message(hex(golden.SET_TIMEOUTS))));
  assert.deepEqual(decodeTimeouts(set(900, 120, 300).payload), {
    tcpSeconds: 900,
    tcpFinSeconds: 120,
    udpSeconds: 300,
  });
  assert.deepEqual([...attributes(set(0, 120, 0).payload, GENL_HDRLEN)].map(({ type }) => type), [
    ipvs.IPVS_CMD_ATTR_TIMEOUT_TCP_FIN,
  ]);
});

Deno.test("servers are listed as ipvsadm -L does", () => {
  const servers = written((writer) => writeDumpServers(writer, FAMILY, 1));
  assert.deepEqual(fieldsOf(servers), fieldsOf(message(hex(golden.LIST))));
  const reals = written((writer) => writeDumpRealServers(writer, FAMILY, 1, secure));
  assert.deepEqual(fieldsOf(reals), fieldsOf(message(hex(golden.LIST_REAL))));
});

Deno.test("servers are decoded from the kernel's answers, except those of firewall marks", () => {
  const found = [...messages(hex(golden.LISTED))].map(({ payload }) => decodeVirtualServer(payload));
  assert.deepEqual(found, [
    { ...secure, persistencePrefix: 128 },
    { ...dns, persistencePrefix: 32 },
    undefined,
  ]);
  assert.deepEqual(decodeRealServer(message(hex(golden.LISTED_REAL)).payload), {
    ...real("[fd00:1::1]:8443", 3),
    isMasqueraded: true,
    active: 0,
    inactive: 0,
    persistent: 0,
  });
});

Deno.test("a truncated server is an error, or decodes to nothing wrong", () => {
  const { payload } = message(hex(golden.LISTED));
  const expected = addressOf("fd00:96::a");
  for (let length = GENL_HDRLEN + NLA_HDRLEN; length < payload.length; length++) {
    try {
      const found = decodeVirtualServer(payload.slice(0, length));
      assert.ok(found === undefined || found.address === expected);
    } catch (error) {
      assert.ok(error instanceof RangeError, String(error));
    }
  }
});

Deno.test("no bytes make the decoder loop or read outside", () => {
  fc.assert(fc.property(fc.uint8Array({ maxLength: 200 }), (bytes) => {
    for (const read of [decodeVirtualServer, decodeRealServer, decodeTimeouts]) {
      try {
        read(bytes);
      } catch (error) {
        assert.ok(error instanceof RangeError, String(error));
      }
    }
  }));
});

Deno.test("commands are described for operators", () => {
  assert.equal(describeCommand({ verb: "add", server: web }), "add virtual server 10.96.0.10:80/TCP");
  assert.equal(
    describeCommand({ verb: "remove real", server: secure, realServer: real("[fd00:1::1]:8443") }),
    "remove real server [fd00:1::1]:8443 from virtual server [fd00:96::a]:443/TCP",
  );
});
