import { Lab } from "../lab/lab.ts";
import { slowness } from "../lab/pace.ts";
import { logged, ProxyProcess } from "../lab/proxy.ts";
import { serviceAddress } from "../lab/topology.ts";
import { answered } from "../lab/traffic.ts";
import { ConnectionsDuringSwitch } from "./support/connections_during_switch.ts";
import { webObjects } from "./support/web_objects.ts";

const web = { protocol: "TCP", to: serviceAddress("clusterIP", "IPv4", 11), port: 80 } as const;
const other = { ...web, to: serviceAddress("clusterIP", "IPv4", 12) };

const LOGGED_WITHIN_MS = 20_000 * slowness;

Deno.test("a rolling update, in which old and new proxy run at the same time, loses no connection", async (t) => {
  await using lab = await Lab.create();
  const manifests = `${lab.directory}/manifests`;
  await Deno.mkdir(manifests);
  const publish = async (name: string, to: string) => {
    const list = { apiVersion: "v1", kind: "List", items: webObjects(name, to) };
    await Deno.writeTextFile(`${lab.directory}/${name}.json`, JSON.stringify(list));
    await Deno.rename(`${lab.directory}/${name}.json`, `${manifests}/${name}.json`);
  };
  await publish("web", web.to);
  let running = new ProxyProcess(lab, manifests);
  try {
    await answered(lab.agent("outside"), web);
    for (const [mode, signal] of [["nftables", "SIGTERM"], ["iptables", "SIGKILL"]] as const) {
      await t.step(`to mode ${mode}, after ${signal}`, async () => {
        const connections = await ConnectionsDuringSwitch.start(lab, web);
        const next = new ProxyProcess(lab, manifests, mode, ["--wait-for-lock"]);
        try {
          await logged(next, "waiting until it ends", LOGGED_WITHIN_MS);
          await publish(`during-${mode}`, other.to);
          await answered(lab.agent("outside"), other);
          await running.stop(signal);
          await logged(next, "No rules of another mode remain", LOGGED_WITHIN_MS);
          await Deno.remove(`${manifests}/during-${mode}.json`);
          await connections.mustHaveSurvived("the update");
          next.assertRunning();
        } finally {
          await running.stop();
          running = next;
        }
      });
    }
  } finally {
    await running.stop();
  }
});
