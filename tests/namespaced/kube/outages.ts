import assert from "node:assert/strict";
import { Forwarder } from "../../core/kube/connection/forwarder.ts";
import { type Case, service, type Setting } from "./case.ts";
import { sliceTo } from "./pods.ts";
import { ProxyProcess } from "./proxy_process.ts";

/** A dead connection is detected after 45 s (core/kube/api/timing.ts). */
const FOUND_OUT_WITHIN_MS = 60_000;

/** Cases for outages of the API server: what is in force stays in force, and no change is missed. */
export const outages: readonly Case[] = [
  {
    name: "kube-apiserver is killed: services go on, health tells, and what happens right after is seen",
    async test({ plane, pods }) {
      const [stays, comes] = ["10.96.3.1", "10.96.3.2"];
      await plane.create(service("stays", stays), sliceTo("pod-a", "stays"));
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
      await pods.until(stays, "pod-a");
      await plane.killApiServer();
      const lost = await proxy.sourceIs("lost");
      assert.equal(lost.healthy, true);
      assert.match(lost.source.lostAt ?? "", /^20/);
      assert.equal(await pods.at(stays), "pod-a");
      await plane.start();
      await plane.create(service("comes", comes), sliceTo("pod-a", "comes"));
      await plane.replace(sliceTo("pod-b", "stays"));
      await pods.until(comes, "pod-a", 20_000);
      await pods.until(stays, "pod-b", 20_000);
      await proxy.sourceIs("connected");
    },
  },
  {
    name: "etcd and kube-apiserver forget the past (410): a new list tells what was deleted meanwhile",
    async test({ plane, pods }) {
      const [goes, comes] = ["10.96.3.3", "10.96.3.4"];
      await plane.create(service("goes", goes), sliceTo("pod-a", "goes"));
      using forwarder = new Forwarder(plane.port);
      await using proxy = new ProxyProcess([`--kubeconfig=${behind(forwarder, plane)}`]);
      await pods.until(goes, "pod-a");
      forwarder.close();
      await plane.remove(service("goes", goes), sliceTo("pod-a", "goes"));
      await plane.create(service("comes-later", comes), sliceTo("pod-b", "comes-later"));
      await plane.compact();
      await plane.killApiServer();
      await plane.start();
      assert.equal(await pods.at(goes), "pod-a", "what is in force stays in force");
      forwarder.open();
      await pods.until(comes, "pod-b", 20_000);
      // No service has this ClusterIP now, so packets to it are dropped.
      await pods.until(goes, "timeout");
      assert.match(proxy.log, /services: listing again, the server no longer has version/);
    },
  },
  {
    name: "no API server at the start: the rules of the previous run serve, until it can be reached",
    async test({ plane, pods }) {
      const [before, meanwhile] = ["10.96.3.5", "10.96.3.6"];
      await plane.create(service("before", before), sliceTo("pod-a", "before"));
      using forwarder = new Forwarder(plane.port);
      const flags = [`--kubeconfig=${behind(forwarder, plane)}`];
      {
        await using first = new ProxyProcess(flags);
        await pods.until(before, "pod-a");
        await first.stop("SIGKILL");
      }
      forwarder.close();
      await plane.replace(sliceTo("pod-b", "before"));
      await plane.create(service("meanwhile", meanwhile), sliceTo("pod-a", "meanwhile"));
      await using proxy = new ProxyProcess(flags);
      await proxy.sourceIs("lost");
      await proxy.logged(/API server 127\.0\.0\.1:\d+: .*refused.*retrying/);
      assert.equal(await pods.at(before), "pod-a");
      forwarder.open();
      await pods.until(before, "pod-b", 20_000);
      await pods.until(meanwhile, "pod-a");
      await proxy.sourceIs("connected");
    },
  },
  {
    name: "a connection that is taken and leads nowhere at the start is given up for another",
    async test({ plane, pods }) {
      const address = "10.96.3.7";
      await plane.create(service("unheard", address), sliceTo("pod-a", "unheard"));
      using forwarder = new Forwarder(plane.port);
      forwarder.conditions = { isLossy: true };
      await using proxy = new ProxyProcess([`--kubeconfig=${behind(forwarder, plane)}`]);
      await proxy.logged(/no response within 10 s/, 20_000);
      await proxy.sourceIs("lost");
      forwarder.conditions = {};
      await pods.until(address, "pod-a", FOUND_OUT_WITHIN_MS);
      await proxy.sourceIs("connected");
    },
  },
  {
    name: "a slow way makes it late, not wrong; one that goes silent is found out, and nothing was missed",
    async test({ plane, pods }) {
      const [slow, missed] = ["10.96.3.8", "10.96.3.9"];
      await plane.create(service("slow", slow), sliceTo("pod-a", "slow"));
      using forwarder = new Forwarder(plane.port);
      forwarder.conditions = { delayMs: 100, rate: 20_000 };
      await using proxy = new ProxyProcess([`--kubeconfig=${behind(forwarder, plane)}`]);
      await pods.until(slow, "pod-a", 30_000);
      await plane.replace(sliceTo("pod-b", "slow"));
      await pods.until(slow, "pod-b");
      assert.doesNotMatch(proxy.log, /retrying/);

      forwarder.conditions = {};
      forwarder.blackhole();
      await plane.create(service("missed", missed), sliceTo("pod-b", "missed"));
      await pods.until(missed, "pod-b", FOUND_OUT_WITHIN_MS);
      assert.match(proxy.log, /the connection does not respond; opening a new one/);
    },
  },
  {
    name:
      "etcd is restored from an older backup: what it says is in force soon, and later changes are followed",
    async test({ plane, pods }) {
      const address = "10.96.3.10";
      await plane.create(service("restored", address), sliceTo("pod-a", "restored"));
      await plane.stop();
      await plane.backUp();
      await plane.start();
      await using proxy = new ProxyProcess([`--kubeconfig=${plane.kubeconfig()}`]);
      await pods.until(address, "pod-a", 20_000);
      for (let write = 0; write < 300; write++) {
        await plane.replace(sliceTo("pod-b", "restored"));
        if (write % 2 === 0) await plane.replace(sliceTo("pod-a", "restored"));
      }
      await plane.replace(sliceTo("pod-b", "restored"));
      await pods.until(address, "pod-b");
      await plane.stop();
      await plane.restore();
      await plane.start();
      await pods.until(address, "pod-a", 30_000);
      assert.match(proxy.log, /listing again, .*the server is at the older version/);
      await plane.replace(sliceTo("pod-b", "restored"));
      await pods.until(address, "pod-b");
      await proxy.sourceIs("connected");
    },
  },
];

function behind(forwarder: Forwarder, plane: Setting["plane"]): string {
  return plane.kubeconfig({ server: `https://127.0.0.1:${forwarder.port}` });
}
