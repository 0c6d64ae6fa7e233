import assert from "node:assert/strict";
import * as ipvs from "../../../../backends/ipvs/protocol/constants.ts";
import { decodeStatistics } from "../../../../backends/ipvs/protocol/decode.ts";
import { trafficOf } from "../../../../backends/ipvs/servers/traffic.ts";
import type { Statistics } from "../../../../backends/ipvs/servers/virtual_server.ts";
import { GENL_HDRLEN } from "../../../../ffi/netlink/genetlink.ts";
import { messages } from "../../../../ffi/netlink/reader.ts";
import { MessageWriter } from "../../../../ffi/netlink/writer.ts";
import { desiredOf, planOf, settingsOf } from "../../plans.ts";
import { virtual } from "../servers.ts";

const some: Statistics = {
  connections: 2,
  toEndpoints: { packets: 10, bytes: 2 ** 40 },
  fromEndpoints: { packets: 8, bytes: 700 },
};

Deno.test("the statistics of a virtual server are read with 64 bits", () => {
  const writer = new MessageWriter();
  writer.begin(0, 0, 1);
  writer.rawBytes(new Uint8Array(GENL_HDRLEN));
  writer.nest(ipvs.IPVS_CMD_ATTR_SERVICE, () => {
    writer.nest(ipvs.IPVS_SVC_ATTR_STATS64, () => {
      const values = [2, 10, 8, 2 ** 40, 700];
      for (const [index, value] of values.entries()) {
        const bytes = new Uint8Array(8);
        new DataView(bytes.buffer).setBigUint64(0, BigInt(value), true);
        writer.attrBytes(ipvs.IPVS_STATS_ATTR_CONNS + index, bytes);
      }
    });
  });
  writer.end();
  const [message] = messages(writer.bytes());
  assert.ok(message !== undefined);
  assert.deepEqual(decodeStatistics(message.payload), some);
});

Deno.test("statistics are assigned to service ports by kind of frontend, over all node-port addresses", async () => {
  const web = planOf({ clusterIP: "10.96.0.10:80", nodePort: 30080 });
  const statistics = ["10.96.0.10:80", "192.0.2.1:30080", "192.0.2.2:30080", "203.0.113.1:80"]
    .map((socket) => [virtual(`${socket}/TCP`), some] as const);
  const { plans } = desiredOf([web]);
  const counts = (trafficMetrics: "connections" | "full") =>
    trafficOf(statistics, [{ settings: settingsOf("IPv4", { trafficMetrics }) }], plans);
  assert.deepEqual(await counts("connections"), [
    { key: web.key, frontend: "ClusterIP", connections: 2, refused: {} },
    { key: web.key, frontend: "NodePort", connections: 4, refused: {} },
  ]);
  assert.deepEqual((await counts("full"))[1], {
    key: web.key,
    frontend: "NodePort",
    connections: 4,
    toEndpoints: { packets: 20, bytes: 2 ** 41 },
    fromEndpoints: { packets: 16, bytes: 1400 },
    refused: {},
  });
});
