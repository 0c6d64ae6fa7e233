import assert from "node:assert/strict";
import { loadModule } from "../../../backends/ipvs/protocol/modules.ts";

/** A folder of modules, and what the kernel was told to load. */
class Modules implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "modules-" });
  readonly inserted: string[] = [];

  constructor(dependencies: string, readonly refuses: (file: string) => boolean = () => false) {
    Deno.writeTextFileSync(`${this.directory}/modules.dep`, dependencies);
  }

  load(name: string): string | undefined {
    const insert = (path: string) => {
      this.inserted.push(path.slice(this.directory.length + 1));
      return !this.refuses(path);
    };
    return loadModule(name, { directory: this.directory, insert });
  }

  [Symbol.dispose](): void {
    Deno.removeSync(this.directory, { recursive: true });
  }
}

const dependencies = `kernel/net/netfilter/xt_ipvs.ko.xz: kernel/ipvs/ip_vs.ko.xz
kernel/ipvs/ip_vs.ko.xz: kernel/nf_conntrack.ko.xz kernel/lib/libcrc32c.ko.xz
kernel/ipvs/ip-vs-rr.ko.xz: kernel/ipvs/ip_vs.ko.xz kernel/nf_conntrack.ko.xz kernel/lib/libcrc32c.ko.xz
kernel/lib/libcrc32c.ko.xz:
`;

Deno.test("a module is loaded after what it needs, whatever its file is packed with", () => {
  using modules = new Modules(dependencies);
  assert.equal(modules.load("ip_vs_rr"), undefined);
  assert.deepEqual(modules.inserted, [
    "kernel/lib/libcrc32c.ko.xz",
    "kernel/nf_conntrack.ko.xz",
    "kernel/ipvs/ip_vs.ko.xz",
    "kernel/ipvs/ip-vs-rr.ko.xz",
  ]);
});

Deno.test("what it needs may be there already", () => {
  using modules = new Modules(dependencies, (file) => !file.includes("rr"));
  assert.equal(modules.load("ip_vs_rr"), undefined);
});

Deno.test("a module that is not there, or not taken, says so", () => {
  using modules = new Modules(dependencies, () => true);
  assert.match(modules.load("ip_vs_mh") ?? "", /because this kernel has none of that name in .*modules-/);
  assert.deepEqual(modules.inserted, []);
  assert.match(modules.load("ip_vs") ?? "", /refused .*ip_vs\.ko\.xz: it takes CAP_SYS_MODULE/);
  const nowhere = { directory: "/nonexistent", insert: () => true };
  assert.match(loadModule("ip_vs", nowhere) ?? "", /from here \(No such file.*modules\.dep/);
});
