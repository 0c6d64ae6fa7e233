import assert from "node:assert/strict";
import {
  DROP,
  ENDPOINT,
  FLOW,
  FLOW_EVENT,
  FLOW_STATE,
  NODE_ADDRESS,
  OFFSET,
  SERVICE,
  type ServiceEntry,
  SETTING,
  SIZE,
  VERDICT,
  viewOf,
  writeFrontend,
  writeNetwork,
  writeNodePort,
  writeRange,
  writeService,
} from "../../../../backends/ebpf/maps/layout.ts";
import { addressOf, cidrOf } from "../../plans.ts";
import { bpfSources } from "../programs/bpf_sources.ts";
import { readTypes } from "./btf.ts";

Deno.test("sizes and offsets of structs equal those of the compiled programs", async () => {
  const structs = await readTypes("sock");
  for (const [name, size] of Object.entries(SIZE)) {
    assert.equal(structs.get(name)?.size, size, `sizeof(struct ${name})`);
  }
  for (const [name, offsets] of Object.entries(OFFSET)) {
    const struct = structs.get(name);
    assert(struct !== undefined, `there is no struct ${name}`);
    for (const [member, offset] of Object.entries(offsets)) {
      assert.equal(struct.offsets[member], offset, `offsetof(struct ${name}, ${member})`);
    }
  }
});

Deno.test("every member of a struct is known here", async () => {
  const structs = await readTypes("sock");
  for (const [name, offsets] of Object.entries(OFFSET)) {
    const members = Object.keys(structs.get(name)?.offsets ?? {});
    assert.deepEqual(
      members.filter((member) => !/^zero/.test(member)),
      Object.keys(offsets),
      `struct ${name}`,
    );
  }
});

Deno.test("enumerators equal those of the headers", () => {
  const enumerators = new Map(
    [...bpfSources().join("").matchAll(/^\s*([A-Z][A-Z0-9_]+) = (\d+),/gm)].map((
      [, name, value],
    ) => [name, Number(value)]),
  );
  const tables = { VERDICT, SERVICE, ENDPOINT, NODE_ADDRESS, SETTING, DROP, FLOW_EVENT };
  for (const [prefix, table] of Object.entries(tables)) {
    for (const [name, value] of Object.entries(table)) {
      assert.equal(enumerators.get(`${prefix}_${name}`), value, `${prefix}_${name}`);
    }
  }
  for (const [name, value] of Object.entries({ ...FLOW, ...FLOW_STATE })) {
    assert.equal(enumerators.get(`FLOW_${name}`), value, `FLOW_${name}`);
  }
});

function hex(length: number, write: (view: DataView) => void): string {
  const bytes = new Uint8Array(length);
  write(viewOf(bytes));
  return bytes.toHex();
}

Deno.test("addresses and ports are in network order, IPv4 as IPv4-mapped IPv6", () => {
  assert.equal(
    hex(SIZE.frontend, (view) => writeFrontend(view, 0, addressOf("10.96.0.10"), 80, "TCP")),
    "00000000000000000000ffff0a60000a" + "0050" + "0600",
  );
  assert.equal(
    hex(SIZE.frontend, (view) => writeFrontend(view, 0, addressOf("fd00::10"), 53, "UDP")),
    "fd000000000000000000000000000010" + "0035" + "1100",
  );
  assert.equal(
    hex(SIZE.frontend, (view) => writeNodePort(view, 0, "IPv4", 30080, "SCTP")),
    "00000000000000000000ffff00000000" + "7580" + "8400",
  );
});

Deno.test("a service's checksum depends on the frontend and on every word", () => {
  const list = (first: number) => ({ first, count: 2 });
  const service = {
    id: 1,
    verdict: 0,
    flags: 0,
    affinitySeconds: 0,
    cluster: list(0),
    local: list(2),
    serving: list(4),
    generation: 3,
  };
  const checkOf = (of: ServiceEntry, port = 80) => {
    const [key, value] = [new Uint8Array(SIZE.frontend), new Uint8Array(SIZE.service)].map(viewOf);
    assert(key !== undefined && value !== undefined);
    writeFrontend(key, 0, addressOf("10.96.0.10"), port, "TCP");
    writeService(value, 0, of, key, 0);
    return value.getUint32(OFFSET.service.check, true);
  };
  const checks = [
    checkOf(service),
    checkOf(service, 81),
    ...["id", "verdict", "flags", "affinitySeconds", "generation"].map((field) =>
      checkOf({ ...service, [field]: 9 })
    ),
    ...["cluster", "local", "serving"].map((field) => checkOf({ ...service, [field]: list(9) })),
    checkOf({ ...service, serving: { first: 4, count: 3 } }),
  ];
  assert.equal(new Set(checks).size, checks.length);
  assert.equal(checkOf({ ...service }), checks[0]);
});

Deno.test("a prefix length includes the bits of the service id and of the IPv4-mapped prefix", () => {
  assert.equal(
    hex(SIZE.range, (view) => writeRange(view, 0, 7, cidrOf("10.0.0.0/8"))),
    "88000000" + "07000000" + "00000000000000000000ffff0a000000",
  );
  assert.equal(
    hex(SIZE.range, (view) => writeRange(view, 0, 7, cidrOf("fd00::/16"))),
    "30000000" + "07000000" + "fd000000000000000000000000000000",
  );
});

Deno.test("a network is stored as address and mask", () => {
  assert.equal(
    hex(32, (view) => writeNetwork(view, 0, cidrOf("10.1.0.0/20"))),
    "00000000000000000000ffff0a010000" + "fffffffffffffffffffffffffffff000",
  );
});
