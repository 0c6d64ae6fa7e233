import assert from "node:assert/strict";
import { loadModule } from "../../../../backends/ipvs/protocol/modules.ts";

/** A directory of modules that records which ones are loaded. */
class Modules implements Disposable {
  readonly directory = Deno.makeTempDirSync({ prefix: "modules-" });
  readonly inserted: string[] = [];

  constructor(dependencies: string, readonly rejects: (file: string) => boolean = () => false) {
    Deno.writeTextFileSync(`${this.directory}/modules.dep`, dependencies);
  }

  load(name: string): string | undefined {
    const insert = (path: string) => {
      this.inserted.push(path.slice(this.directory.length + 1));
      return !this.rejects(path);
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

Deno.test("a module is loaded after its dependencies, whatever the compression of its file", () => {
  using modules = new Modules(dependencies);
  assert.equal(modules.load("ip_vs_rr"), undefined);
  assert.deepEqual(modules.inserted, [
    "kernel/lib/libcrc32c.ko.xz",
    "kernel/nf_conntrack.ko.xz",
    "kernel/ipvs/ip_vs.ko.xz",
    "kernel/ipvs/ip-vs-rr.ko.xz",
  ]);
});

Deno.test("its dependencies may be loaded already", () => {
  using modules = new Modules(dependencies, (file) => !file.includes("rr"));
  assert.equal(modules.load("ip_vs_rr"), undefined);
});

Deno.test("a missing module and a rejected module are reported", () => {
  using modules = new Modules(dependencies, () => true);
  assert.match(modules.load("ip_vs_mh") ?? "", /because .*modules-\w+ has no such module/);
  assert.deepEqual(modules.inserted, []);
  assert.match(
    modules.load("ip_vs") ?? "",
    /rejected .*ip_vs\.ko\.xz: (the kernel log says why|the process lacks CAP_SYS_MODULE)/,
  );
  const nowhere = { directory: "/nonexistent", insert: () => true };
  assert.match(loadModule("ip_vs", nowhere) ?? "", /from here \(No such file.*modules\.dep/);
});
