import assert from "node:assert/strict";
import { dirname } from "node:path";
import { dropsInvalidPackets, routeLocalnet } from "../../../backends/iptables/host_settings.ts";

/** A directory like /proc/sys with these settings. */
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

const liberal = "net/netfilter/nf_conntrack_tcp_be_liberal";
const localnet = "net/ipv4/conf/all/route_localnet";

Deno.test("packets of no known state are dropped unless connection tracking is said to be liberal", () => {
  const cases = [[{ [liberal]: "0" }, true], [{ [liberal]: "1" }, false], [{}, true]] as const;
  for (const [settings, expected] of cases) {
    using sysctls = new Sysctls(settings);
    assert.equal(dropsInvalidPackets(sysctls.directory), expected, JSON.stringify(settings));
  }
});

Deno.test("route_localnet is switched on where it is off", () => {
  using sysctls = new Sysctls({ [localnet]: "0" });
  assert.equal(routeLocalnet(sysctls.directory), undefined);
  assert.equal(sysctls.read(localnet), "1");
});

Deno.test("a node that has switched it on needs no writable /proc/sys", () => {
  using sysctls = new Sysctls({ [localnet]: "1" });
  const file = `${sysctls.directory}/${localnet}`;
  const before = Deno.statSync(file).mtime;
  assert.equal(routeLocalnet(sysctls.directory), undefined);
  assert.deepEqual(Deno.statSync(file).mtime, before);
});

Deno.test("where route_localnet cannot be set, what that means and what to do is said", () => {
  using sysctls = new Sysctls({ [localnet]: "0" });
  // What takes no writing whoever asks.
  const notThere = `${sysctls.directory}/not-there`;
  const problem = routeLocalnet(notThere);
  assert.match(
    problem ?? "",
    /do not answer on loopback.*route_localnet.*No such file.*localhost-nodeports=false/,
  );
  assert.throws(() => Deno.statSync(notThere));
});
