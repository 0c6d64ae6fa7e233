import assert from "node:assert/strict";
import { DummyDevice } from "../../../backends/ipvs/device/dummy_device.ts";
import { formatAddress } from "../../../core/net/address.ts";
import { addressOf } from "../../backends/ipvs/servers.ts";
import { run } from "../../integration/support/network_namespace.ts";

/** Runs in a network namespace made by tests/integration/ipvs/kernel_test.ts. */

// Libraries stay open for the life of the process, and sockets are closed off the main thread.
const keepsLibraries = { sanitizeResources: false, sanitizeOps: false };
const services = ["10.96.0.10", "10.96.0.11", "fd00:96::a", "fd00:96::b"].map(addressOf);

/** Addresses as ip lists them: `10.96.0.10/32`. */
async function listed(): Promise<string[]> {
  const lines = await run("ip", "-o", "addr", "show", "dev", "kube-ipvs0");
  return [...lines.matchAll(/ inet6? (\S+)/g)].map(([, cidr = ""]) => cidr).sort();
}

/** Reports after `change`. */
async function toldOf(device: DummyDevice, change: () => Promise<unknown>): Promise<string[]> {
  const told: string[] = [];
  using _ = device.watch((what) => told.push(what));
  await device.ensure();
  await change();
  await new Promise((resolve) => setTimeout(resolve, 300));
  return told;
}

Deno.test(
  "the device is created once, addresses are added and removed, and the device is deleted",
  keepsLibraries,
  async () => {
    using device = new DummyDevice();
    assert.equal(await device.find(), undefined);
    const index = await device.ensure();
    assert.equal(await device.ensure(), index);
    assert.match(await run("ip", "-d", "link", "show", "kube-ipvs0"), /state DOWN.*\n.*\n.*dummy/);

    assert.deepEqual(await device.add(index, services), []);
    assert.deepEqual(await device.add(index, services), [], "those that are there are no error");
    assert.deepEqual(await listed(), ["10.96.0.10/32", "10.96.0.11/32", "fd00:96::a/128", "fd00:96::b/128"]);
    // In force at once, although the device is down.
    for (const hostname of ["10.96.0.10", "fd00:96::a"]) {
      using listener = Deno.listen({ hostname, port: 0 });
      (await Deno.connect({ hostname, port: listener.addr.port })).close();
    }

    await run("ip", "addr", "add", "10.96.0.12/24", "dev", "kube-ipvs0");
    const { device: own, others } = await device.addresses(index);
    assert.deepEqual(own.map(({ address, prefix }) => `${formatAddress(address)}/${prefix}`).sort(), [
      "10.96.0.10/32",
      "10.96.0.11/32",
      "10.96.0.12/24",
      "fd00:96::a/128",
      "fd00:96::b/128",
    ]);
    assert.deepEqual([...others].map(formatAddress).sort(), ["127.0.0.1", "::1"]);

    const leaving = own.filter(({ address }) => address !== services[1]);
    assert.deepEqual(await device.remove(leaving), []);
    assert.deepEqual(await device.remove(leaving), [], "those that are gone are no error");
    assert.deepEqual(await listed(), ["10.96.0.11/32"]);
    assert.equal(await device.delete(), true);
    assert.equal(await device.delete(), false);
    const [refused] = await device.add(index, services);
    assert.match(refused?.error.message ?? "", /^add address 10\.96\.0\.10 to kube-ipvs0: ENODEV/);
  },
);

Deno.test(
  "an interface of that name that is not a dummy device is an error, and stays",
  keepsLibraries,
  async () => {
    await run("ip", "link", "add", "kube-ipvs0", "type", "bridge");
    using device = new DummyDevice();
    await assert.rejects(
      device.ensure(),
      /of kind bridge has this name\)\. Rename or remove it: ip link delete kube-ipvs0/,
    );
    await run("ip", "link", "delete", "kube-ipvs0");
  },
);

Deno.test("foreign removals are reported, our own are not", keepsLibraries, async () => {
  using device = new DummyDevice();
  const index = await device.ensure();
  await device.add(index, services);
  const own = (await device.addresses(index)).device;
  assert.deepEqual(
    await toldOf(device, async () => {
      await device.remove(own);
      await device.remove(own);
      await device.add(index, services);
    }),
    [],
  );
  assert.deepEqual(
    await toldOf(device, () => run("ip", "addr", "del", "10.96.0.10/32", "dev", "kube-ipvs0")),
    [
      "address 10.96.0.10 was removed from kube-ipvs0",
    ],
  );
  assert.deepEqual(
    await toldOf(device, () => run("ip", "addr", "del", "fd00:96::a/128", "dev", "kube-ipvs0")),
    [
      "address fd00:96::a was removed from kube-ipvs0",
    ],
  );
  const [gone, ...more] = await toldOf(device, () => run("ip", "link", "del", "kube-ipvs0"));
  assert.match(
    [gone, ...more].join(),
    /device kube-ipvs0 was deleted|was removed from kube-ipvs0, and \d more/,
  );
  await device.ensure();
  assert.deepEqual(await toldOf(device, () => device.delete()), []);
});

Deno.test(
  "thousands of addresses are added to and removed from the device, without a report",
  keepsLibraries,
  async () => {
    using device = new DummyDevice();
    const index = await device.ensure();
    const many = Array.from({ length: 2_000 }, (_, at) => addressOf(`10.98.${at >> 8}.${at & 0xff}`));
    many.push(...Array.from({ length: 2_000 }, (_, at) => addressOf(`fd00:98::${(at + 1).toString(16)}`)));
    const started = performance.now();
    assert.deepEqual(
      await toldOf(device, async () => {
        assert.deepEqual(await device.add(index, many), []);
        const { device: own } = await device.addresses(index);
        assert.equal(own.length, many.length);
        assert.deepEqual(await device.remove(own), []);
      }),
      [],
    );
    console.log(
      `4,000 addresses added, listed and removed in ${(performance.now() - started).toFixed(0)} ms`,
    );
    assert.deepEqual((await device.addresses(index)).device, []);
    await device.delete();
  },
);
