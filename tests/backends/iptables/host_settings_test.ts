import assert from "node:assert/strict";
import { dirname } from "node:path";
import { dropsInvalidPackets, routeLocalnet } from "../../../backends/iptables/host_settings.ts";

/** A temporary directory in the form of /proc/sys. */
class Sysctls implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "sysctls-" });

  constructor(settings: Readonly<Record<string, string>>) {
    for (const [name, value] of Object.entries(settings)) {
      const path = `${this.directory}/${name}`;
      Deno.mkdirSync(dirname(path), { recursive: true });
      Deno.writeTextFileSync(path, `${value}\n`);
    }
  }

  read(name: string): string {
    return Deno.readTextFileSync(`${this.directory}/${name}`).trim();
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const TCP_BE_LIBERAL = "net/netfilter/nf_conntrack_tcp_be_liberal";
const ROUTE_LOCALNET = "net/ipv4/conf/all/route_localnet";

Deno.test("invalid packets are dropped unless connection tracking is set to be liberal", () => {
  const cases = [[{ [TCP_BE_LIBERAL]: "0" }, true], [{ [TCP_BE_LIBERAL]: "1" }, false], [{}, true]] as const;
  for (const [settings, expected] of cases) {
    using sysctls = new Sysctls(settings);
    assert.equal(dropsInvalidPackets(sysctls.directory), expected, JSON.stringify(settings));
  }
});

Deno.test("route_localnet is set if it is off", () => {
  using sysctls = new Sysctls({ [ROUTE_LOCALNET]: "0" });
  assert.equal(routeLocalnet(sysctls.directory), undefined);
  assert.equal(sysctls.read(ROUTE_LOCALNET), "1");
});

Deno.test("a node that has set route_localnet needs no writable /proc/sys", () => {
  using sysctls = new Sysctls({ [ROUTE_LOCALNET]: "1" });
  const file = `${sysctls.directory}/${ROUTE_LOCALNET}`;
  const before = Deno.statSync(file).mtime;
  assert.equal(routeLocalnet(sysctls.directory), undefined);
  assert.deepEqual(Deno.statSync(file).mtime, before);
});

Deno.test("if route_localnet cannot be set, the warning has the reason, the effect and what to do", () => {
  using sysctls = new Sysctls({ [ROUTE_LOCALNET]: "0" });
  // A path that cannot be written, even by root.
  const missing = `${sysctls.directory}/missing`;
  const warning = routeLocalnet(missing);
  assert.match(
    warning ?? "",
    /route_localnet.*No such file.*do not answer on loopback.*localhost-nodeports=false/,
  );
  assert.throws(() => Deno.statSync(missing));
});
