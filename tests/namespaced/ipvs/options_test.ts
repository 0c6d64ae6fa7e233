import assert from "node:assert/strict";
import type { BackendError } from "../../../core/backend/contract.ts";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import { applyBisecting } from "../../../core/sync/bisect.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { desiredOf, planOf } from "../../backends/plans.ts";
import { run } from "../../integration/support/network_namespace.ts";
import { deviceAddresses, savedServers } from "./listings.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and a scheduled poll does not keep it alive.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };

const web = planOf({
  clusterIP: "10.96.0.10:80",
  endpoints: ["10.1.0.1:8080", "10.1.0.2:8080 weight 3"],
});

Deno.test(
  "all virtual servers have the chosen scheduler, and another one after a restart",
  keepsLibraries,
  async () => {
    for (
      const [scheduler, listed] of [["", "rr"], ["wrr", "wrr"], ["mh", "mh -b mh-fallback,mh-port"], [
        "sh",
        "sh -b sh-fallback",
      ]] as const
    ) {
      using backend = new IpvsBackend({ ...defaultOptions, scheduler });
      await backend.reconcile(desiredOf([web]));
      assert.deepEqual(await savedServers(), [
        `-A -t 10.96.0.10:80 -s ${listed}`,
        "-a -t 10.96.0.10:80 -r 10.1.0.1:8080 -m -w 1",
        "-a -t 10.96.0.10:80 -r 10.1.0.2:8080 -m -w 3",
      ]);
    }
  },
);

Deno.test("a missing scheduler is reported, and nothing is changed", keepsLibraries, async () => {
  const before = await savedServers();
  using backend = withBackendErrors(new IpvsBackend({ ...defaultOptions, scheduler: "nosuch" }));
  const missing = (await backend.probe()).filter(({ found }) => !found);
  assert.equal(missing.length, 1);
  assert.match(missing[0]?.detail ?? "", /use the scheduler nosuch of IPVS.*ip_vs_nosuch.*Schedulers of /);
  assert.equal(missing[0]?.fix, "modprobe ip_vs_nosuch");
  await assert.rejects(backend.reconcile(desiredOf([web])), /^BackendError: ipvs: use the scheduler nosuch/);
  assert.deepEqual(await savedServers(), before);
});

Deno.test("configured timeouts are set, others stay", keepsLibraries, async () => {
  await run("ipvsadm", "--set", "901", "121", "301");
  const timeouts = async () => /: (.*)/.exec(await run("ipvsadm", "-L", "--timeout"))?.[1];
  using backend = new IpvsBackend({ ...defaultOptions, tcpTimeoutMs: 600_000, udpTimeoutMs: 30_500 });
  await backend.reconcile(desiredOf([web]));
  assert.equal(await timeouts(), "600 121 31");
  using usual = new IpvsBackend(defaultOptions);
  await usual.reconcile(desiredOf([web]));
  assert.equal(await timeouts(), "600 121 31");
});

Deno.test("strict ARP is set when configured", keepsLibraries, async () => {
  const read = () => Deno.readTextFile("/proc/sys/net/ipv4/conf/all/arp_ignore");
  assert.equal(await read(), "0\n");
  using backend = new IpvsBackend({ ...defaultOptions, strictArp: true });
  await backend.reconcile(desiredOf([web]));
  assert.equal(await read(), "1\n");
});

Deno.test(
  "a rejection by the kernel names its service, and the others are in force",
  keepsLibraries,
  async () => {
    using backend = new IpvsBackend(defaultOptions);
    await backend.reconcile(desiredOf([web]));
    const addresses = await deviceAddresses();
    const other = planOf({ name: "other", clusterIP: "10.96.0.11:80" });
    const refusedOf = [
      [
        planOf({ name: "bad", clusterIP: "10.96.0.12:80", endpoints: ["255.255.255.255:80"] }),
        /^ipvs: add real server 255\.255\.255\.255:80 to virtual server 10\.96\.0\.12:80\/TCP: EINVAL/,
      ],
      [
        planOf({ name: "bad", clusterIP: "[ff05::1]:80", endpoints: ["[fd00:1::1]:80"] }),
        /^ipvs: add address ff05::1 to kube-ipvs0: EADDRNOTAVAIL/,
      ],
    ] as const;
    for (const [bad, reason] of refusedOf) {
      const outcome = await applyBisecting(
        backend,
        [bad, other].map((plan) => ({ key: plan.key, old: undefined, new: plan })),
      );
      assert.deepEqual(outcome.applied.map(({ key }) => key), [other.key]);
      assert.deepEqual(outcome.rejected.map(({ change }) => change.key), [bad.key]);
      assert.match(outcome.rejected[0]?.error.message ?? "", reason);
      assert.ok((await savedServers()).includes("-a -t 10.96.0.11:80 -r 10.1.0.1:8080 -m -w 1"));

      const refusal = await backend.reconcile(desiredOf([web, bad, other])).then(
        () => undefined,
        (error: BackendError) => error,
      );
      assert.match(refusal?.message ?? "", reason);
      assert.deepEqual(refusal?.rejectedKeys, [bad.key]);
      assert.notDeepEqual((await backend.reconcile(desiredOf([web]))).differences, []);
      assert.deepEqual(await deviceAddresses(), addresses);
    }
    await backend.cleanup();
  },
);
