import assert from "node:assert/strict";
import { ServiceRanges } from "../../../../backends/ebpf/services/service_ranges.ts";
import { SIZE, VERDICT, viewOf, writeRange } from "../../../../backends/ebpf/maps/layout.ts";
import type { ServicePortPlan } from "../../../../core/plan/plan.ts";
import { cidrOf, planOf, settingsOf } from "../../plans.ts";
import { FakeMap } from "./fake_kernel.ts";

const settings = [settingsOf("IPv4"), settingsOf("IPv6")];
const ranges = ["10.96.0.0/12 drop", "fd00:96::/108 drop"];
const web = (...endpoints: readonly string[]) => planOf({ clusterIP: "10.96.0.10:80", endpoints });
const api = (...endpoints: readonly string[]) =>
  planOf({ name: "api", clusterIP: "10.96.0.11:80", protocol: "UDP", endpoints });

Deno.test("endpoints in a service range are not dropped, as long as a service has them", () => {
  const map = new FakeMap(SIZE.range, 4);
  const of = new ServiceRanges(map);
  const change = (old: ServicePortPlan, next: ServicePortPlan | undefined) =>
    of.apply([{ key: old.key, old, new: next }])();
  of.reconcile(settings, [web("10.96.7.1:80", "10.1.0.1:80"), api("10.96.7.1:53")]);
  assert.deepEqual(shown(map), [...ranges, "10.96.7.1/32 pass"].sort());
  change(web("10.96.7.1:80", "10.1.0.1:80"), web("10.96.7.2:80"));
  assert.deepEqual(shown(map), [...ranges, "10.96.7.1/32 pass", "10.96.7.2/32 pass"].sort());
  change(api("10.96.7.1:53"), undefined);
  assert.deepEqual(shown(map), [...ranges, "10.96.7.2/32 pass"].sort());
  of.reconcile([settingsOf("IPv4", { serviceCidrs: [cidrOf("10.112.0.0/12")] })], [web("10.96.7.2:80")]);
  assert.deepEqual(shown(map), ["10.112.0.0/12 drop"]);
});

Deno.test("a new endpoint is admitted before its service changes, and an old one after it", () => {
  const map = new FakeMap(SIZE.range, 4);
  const of = new ServiceRanges(map);
  const [old, next] = [web("10.96.7.1:80"), web("10.96.7.2:80")];
  of.reconcile(settings, [old]);
  const removeStale = of.apply([{ key: old.key, old, new: next }]);
  assert.deepEqual(shown(map), [...ranges, "10.96.7.1/32 pass", "10.96.7.2/32 pass"].sort());
  removeStale();
  assert.deepEqual(shown(map), [...ranges, "10.96.7.2/32 pass"].sort());
});

/** "10.96.0.0/12 drop" */
function shown(map: FakeMap): readonly string[] {
  const texts: string[] = [];
  map.forEach((keys, at, values, valueAt) => {
    const named = known.find((text) => {
      const key = new Uint8Array(SIZE.range);
      writeRange(viewOf(key), 0, 0, cidrOf(text));
      return key.toHex() === nameOf(keys, at);
    });
    texts.push(`${named} ${values.getInt32(valueAt, true) === VERDICT.DROP ? "drop" : "pass"}`);
  });
  return texts.sort();
}

const known = ["10.96.0.0/12", "10.112.0.0/12", "fd00:96::/108", "10.96.7.1/32", "10.96.7.2/32"];

function nameOf(view: DataView, offset: number): string {
  return new Uint8Array(view.buffer, view.byteOffset + offset, SIZE.range).toHex();
}
