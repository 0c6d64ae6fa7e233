import assert from "node:assert/strict";
import { compileAll } from "../../../backends/ipvs/compile_all.ts";
import { nativeText } from "../../../backends/ipvs/native_text.ts";
import { addressOf, planOf, settingsOf } from "../plans.ts";
import { defaultOptions } from "./options.ts";

const own = [addressOf("192.168.7.1")];

/** The inputs by the names of the tools. */
function texts(...plans: readonly ReturnType<typeof planOf>[]): Record<string, string> {
  const settings = [settingsOf("IPv4", { nodePorts: own, interfaceAddresses: own })];
  const state = compileAll(
    { settings, plans: new Map(plans.map((plan) => [plan.key, plan])) },
    { ...defaultOptions, scheduler: "mh" },
  );
  return Object.fromEntries(nativeText(state).map(({ command, text }) => [command.split(" ")[0], text]));
}

Deno.test("ipvsadm gets each virtual server with its real servers, options and protocol", () => {
  const { ipvsadm = "" } = texts(planOf({
    clusterIP: "10.96.0.10:80",
    nodePort: 30080,
    endpoints: ["10.1.0.1:8080@here", "10.1.1.2:8080"],
  }));
  const lines = ipvsadm.trim().split("\n");
  assert.equal(lines.length, 6);
  assert.match(lines[0] ?? "", /^-A -t 10\.96\.0\.10:80 -s mh( -b flag-\d(,flag-\d)*)?$/);
  assert.equal(lines[1], "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1");
  assert.equal(lines[5], "-a -t 192.168.7.1:30080 -r 10.1.1.2:8080 -m -w 1");
});

Deno.test("ip gets the device and its addresses, and nft the table", () => {
  const { ip, nft = "" } = texts(planOf({ clusterIP: "10.96.0.10:80", endpoints: ["10.1.0.1:8080"] }));
  assert.equal(ip, "link add kube-ipvs0 type dummy\naddress add 10.96.0.10/32 dev kube-ipvs0\n");
  assert.match(nft, /^table ip kube-proxy-ipvs\ndelete table ip kube-proxy-ipvs\n/);
  assert.doesNotMatch(nft, /undefined|NaN/);
});
