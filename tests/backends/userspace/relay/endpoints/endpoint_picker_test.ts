import assert from "node:assert/strict";
import { EndpointPicker } from "../../../../../backends/userspace/relay/endpoints/endpoint_picker.ts";
import {
  endpointAt,
  PACKED_BYTES,
} from "../../../../../backends/userspace/relay/endpoints/packed_endpoints.ts";
import type { Service } from "../../../../../backends/userspace/relay/services/service_table.ts";
import { address, packed, service } from "../support/services.ts";

const BYTES = PACKED_BYTES.IPv4;
const CLIENT = address("192.0.2.1");
const TEN = packed(...Array.from({ length: 10 }, (_, index) => `10.1.0.${index}:8080`));

/** Picks for many clients, and returns how often each endpoint was chosen. */
function picks(
  picker: EndpointPicker,
  web: Service,
  list: string,
  now: number,
  count = 1000,
): Map<number, number> {
  const counts = new Map<number, number>();
  for (let index = 0; index < count; index++) {
    const offset = picker.pick(web, list, CLIENT, [], now);
    counts.set(offset, (counts.get(offset) ?? 0) + 1);
  }
  return counts;
}

/** How long the only endpoint that is avoided will be. */
function remaining(picker: EndpointPicker, now: number): number {
  const [only, ...others] = picker.avoided(now);
  assert(only !== undefined && others.length === 0);
  return only.remainingMs;
}

Deno.test("every endpoint gets its share of the connections", () => {
  const counts = picks(new EndpointPicker(), service(), TEN, 0, 10_000);
  assert.equal(counts.size, 10);
  for (const count of counts.values()) assert(count > 700 && count < 1300, `${count}`);
});

Deno.test("there is nothing to choose without endpoints, or when all were tried", () => {
  const picker = new EndpointPicker();
  assert.equal(picker.pick(service(), "", CLIENT, [], 0), -1);
  const one = packed("10.1.0.1:80");
  assert.equal(picker.pick(service(), one, CLIENT, [endpointAt(one, 0, BYTES)], 0), -1);
});

Deno.test("an endpoint that failed is avoided, and its share is spread over all others", () => {
  const picker = new EndpointPicker();
  const web = service();
  picker.failed(web, endpointAt(TEN, 3 * BYTES, BYTES), 0, 0);
  const counts = picks(picker, web, TEN, 999, 9000);
  assert.equal(counts.has(3 * BYTES), false);
  assert.equal(counts.size, 9);
  for (const count of counts.values()) assert(count > 700 && count < 1300, `${count}`);
  assert.deepEqual([...picker.avoided(400)], [
    { address: address("10.1.0.3"), port: 8080, protocol: "TCP", remainingMs: 600 },
  ]);
});

Deno.test("when all endpoints have failed, all are tried", () => {
  const picker = new EndpointPicker();
  const list = packed("10.1.0.1:80", "10.1.0.2:80");
  for (const offset of [0, BYTES]) picker.failed(service(), endpointAt(list, offset, BYTES), 0, 0);
  assert.equal(picks(picker, service(), list, 1).size, 2);
});

Deno.test("after its time, one connection tries the endpoint that failed, and the others wait for its success", () => {
  const picker = new EndpointPicker();
  const list = packed("10.1.0.1:80", "10.1.0.2:80");
  const failed = endpointAt(list, 0, BYTES);
  picker.failed(service(), failed, 0, 0);
  assert.equal(picks(picker, service(), list, 1001).get(0), 1);
  assert.equal(picks(picker, service(), list, 1002).get(0), undefined);
  picker.succeeded(service(), failed);
  assert.equal(picker.hasFailures, false);
  assert.equal(picks(picker, service(), list, 1003).size, 2);
});

Deno.test("an endpoint that fails whenever it is tried is avoided for twice the time, up to half a minute", () => {
  const picker = new EndpointPicker();
  const endpoint = endpointAt(TEN, 0, BYTES);
  let now = 0;
  const times = [0, 1, 2, 3, 4, 5, 6, 7].map(() => {
    picker.failed(service(), endpoint, now, now + 250);
    const period = remaining(picker, now + 250);
    now += 250 + period;
    return period;
  });
  assert.deepEqual(times, [1000, 2000, 4000, 8000, 16_000, 30_000, 30_000, 30_000]);
});

Deno.test("an endpoint that is away for a moment is avoided once, for all connections that fail meanwhile", () => {
  const picker = new EndpointPicker();
  const list = packed("10.1.0.1:80", "10.1.0.2:80");
  const [failed, other] = [endpointAt(list, 0, BYTES), endpointAt(list, BYTES, BYTES)];
  const attempts = Array.from({ length: 16 }, (_, index) => index);
  for (const began of attempts) picker.failed(service(), failed, began, began + 250);
  assert.equal(remaining(picker, 265), 985, "they had begun before the first of them failed");
  picker.failed(service(), other, 0, 270);
  for (const began of attempts) picker.failed(service(), failed, began + 300, began + 550);
  assert.equal([...picker.avoided(570)][0]?.remainingMs, 680, "they tried it for want of another one");
  picker.succeeded(service(), other);

  assert.equal(picks(picker, service(), list, 1250).get(0), 1);
  picker.failed(service(), failed, 900, 1400);
  assert.equal(remaining(picker, 1400), 2000, "the time was over, and it is still away");
  for (const began of attempts) picker.failed(service(), failed, 1250 + began, 1500 + began);
  assert.equal(remaining(picker, 1600), 1800);
});

Deno.test("an endpoint that never answers datagrams gets its share back when one was not rejected", () => {
  const picker = new EndpointPicker();
  const log = service({ protocol: "UDP" });
  const list = packed("10.1.0.1:514", "10.1.0.2:514");
  const failed = endpointAt(list, 0, BYTES);
  picker.failed(log, failed, 0, 0);
  assert.equal(picks(picker, log, list, 1000).get(0), 1);
  picker.failed(log, failed, 1000, 1100);
  assert.equal(remaining(picker, 1100), 2000, "the datagram was rejected");

  assert.equal(picks(picker, log, list, 3100).get(0), 1);
  assert.equal(picks(picker, log, list, 3349).get(0), undefined, "it may still be rejected");
  assert.deepEqual([...picker.avoided(3350)], []);
  const share = picks(picker, log, list, 3350).get(0) ?? 0;
  assert(share > 400 && share < 600, `${share}`);
  picker.failed(log, failed, 3400, 3400);
  assert.equal(remaining(picker, 3400), 1000, "a failure after a success is the first one");
});

Deno.test("silence is no success of a connection", () => {
  const picker = new EndpointPicker();
  const list = packed("10.1.0.1:80", "10.1.0.2:80");
  picker.failed(service(), endpointAt(list, 0, BYTES), 0, 0);
  assert.equal(picks(picker, service(), list, 1000).get(0), 1);
  assert.equal(picks(picker, service(), list, 1900).get(0), undefined);
});

Deno.test("endpoints that failed are forgotten, so that their number is bounded", () => {
  const picker = new EndpointPicker();
  for (let port = 1; port <= 10_000; port++) {
    picker.failed(service(), endpointAt(packed(`10.1.0.1:${port}`), 0, BYTES), 0, 0);
  }
  assert.equal([...picker.avoided(0)].length, 4096);
});

Deno.test("a client with affinity keeps its endpoint until it stays away for too long", () => {
  const picker = new EndpointPicker();
  const web = service({ affinitySeconds: 10 });
  const first = picker.pick(web, TEN, CLIENT, [], 0);
  for (let now = 1000; now < 100_000; now += 9000) {
    assert.equal(picker.pick(web, TEN, CLIENT, [], now), first);
  }
  const later = new Set(
    Array.from({ length: 50 }, (_, index) => picker.pick(web, TEN, CLIENT, [], 200_000 + index * 10_000)),
  );
  assert(later.size > 1);
});

Deno.test("affinity moves on when the endpoint fails, is tried or is gone", () => {
  const picker = new EndpointPicker(() => 0);
  const web = service({ affinitySeconds: 10 });
  const list = packed("10.1.0.1:80", "10.1.0.2:80");
  assert.equal(picker.pick(web, list, CLIENT, [], 0), 0);
  assert.equal(picker.pick(web, list, CLIENT, [endpointAt(list, 0, BYTES)], 0), BYTES);
  assert.equal(picker.pick(web, list, CLIENT, [], 0), BYTES, "the endpoint of the retry is kept");
  picker.failed(web, endpointAt(list, BYTES, BYTES), 0, 0);
  assert.equal(picker.pick(web, list, CLIENT, [], 0), 0);
  assert.equal(picker.pick(web, packed("10.1.0.9:80"), CLIENT, [], 0), 0);
});

Deno.test("clients of different services and addresses have affinities of their own", () => {
  let next = 0;
  const picker = new EndpointPicker(() => (next++ % 10) / 10);
  const web = service({ affinitySeconds: 10 });
  const clients = ["192.0.2.1", "192.0.2.2", "192.0.2.3"].map(address);
  const first = clients.map((client) => picker.pick(web, TEN, client, [], 0));
  assert.equal(new Set(first).size, 3);
  assert.deepEqual(clients.map((client) => picker.pick(web, TEN, client, [], 1)), first);
});
