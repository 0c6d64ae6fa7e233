import assert from "node:assert/strict";
import { collect } from "./support/collect.ts";
import { Node } from "./support/node.ts";
import { reachable } from "./support/objects.ts";
import type { RunningProxy } from "./support/running_proxy.ts";

/** Mounts a FUSE file system that never answers, prints "mounted", and ends it when its input ends. */
const DEAD = `
import ctypes, os, sys
libc = ctypes.CDLL(None, use_errno=True)
server = os.open("/dev/fuse", os.O_RDWR)
options = f"fd={server},rootmode=40000,user_id=0,group_id=0"
failed = libc.mount(b"dead", sys.argv[1].encode(), b"fuse", 0, options.encode())
print(os.strerror(ctypes.get_errno()) if failed else "mounted", flush=True)
sys.stdin.read()
`;

/** The kernel module fuse may be missing. */
const hasFuse = (() => {
  try {
    return Deno.statSync("/dev/fuse").isCharDevice === true;
  } catch {
    return false;
  }
})();
const missingFuse = hasFuse ? "" : " (skipped: this machine has no /dev/fuse)";

function dead(name: string, fn: () => Promise<void>): void {
  Deno.test({ name: name + missingFuse, ignore: !hasFuse, fn });
}

dead("a dead file system under the manifests is reported, and blocks nothing else", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  {
    await using _dead = await DeadFileSystem.mount(proxy, node.manifests);
    proxy.signal("SIGHUP");
    await proxy.logs(/does not answer; the objects read before stay in force/);
    assert.equal((await proxy.health()).status, 200);
    assert.deepEqual(await node.services(), ["10.96.0.10:80 default/web"]);
  }
  await node.write("more.json", reachable("more", "10.96.0.11"));
  proxy.signal("SIGHUP");
  const both = ["10.96.0.10:80 default/web", "10.96.0.11:80 default/more"].join();
  await proxy.until(async () => (await node.services()).join() === both, "service that was added afterwards");
  await proxy.logs(/are complete again/);
});

dead("SIGTERM ends the proxy while the file system under the manifests is dead", async () => {
  await using node = await Node.make();
  await node.write("web.json", reachable("web", "10.96.0.10"));
  await using proxy = node.start();
  await proxy.inForce();
  await using _dead = await DeadFileSystem.mount(proxy, node.manifests);
  proxy.signal("SIGHUP");
  await proxy.logs(/does not answer/);
  assert.equal((await proxy.end()).code, 0);
});

/** A file system over a directory, in the mount namespace of the proxy. */
class DeadFileSystem implements AsyncDisposable {
  private constructor(
    private readonly server: Deno.ChildProcess,
    private readonly output: Promise<string>,
    private readonly unmount: () => Promise<unknown>,
  ) {}

  static async mount(proxy: RunningProxy, directory: string): Promise<DeadFileSystem> {
    const inside = [`--target=${proxy.pid}`, "--mount"];
    const args = [...inside, "python3", "-c", DEAD, directory];
    const server = new Deno.Command("nsenter", { args, stdin: "piped", stdout: "piped", stderr: "piped" })
      .spawn();
    const mounted = Promise.withResolvers<void>();
    const output = collect(server.stdout, (text) => text.includes("\n") && mounted.resolve());
    const errors = collect(server.stderr);
    await Promise.race([mounted.promise, output]);
    return new DeadFileSystem(
      server,
      Promise.all([output, errors]).then((texts) => texts.join("")),
      async () => {
        // Fails if the proxy, and with it the mount namespace, has ended.
        await new Deno.Command("nsenter", { args: [...inside, "umount", "--lazy", directory] }).output();
      },
    );
  }

  async [Symbol.asyncDispose](): Promise<void> {
    await this.server.stdin.close();
    assert.equal(await this.output, "mounted\n");
    await this.server.status;
    await this.unmount();
  }
}
