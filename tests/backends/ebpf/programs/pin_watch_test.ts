import assert from "node:assert/strict";
import { Pins } from "../../../../backends/ebpf/programs/pins.ts";
import { watchPins } from "../../../../backends/ebpf/programs/pin_watch.ts";

Deno.test("pins that cannot be checked are a foreign change, and do not end the process", async () => {
  const bpffs = await Deno.makeTempDir();
  try {
    const pins = new Pins(bpffs, { frontends: 1, endpoints: 1, connections: 1, clients: 1 });
    await Deno.mkdir(`${pins.directory}/links`, { recursive: true });
    const reported = Promise.withResolvers<string>();
    using _watch = watchPins(
      pins,
      () => {
        throw new Error("open link: EMFILE (Too many open files)");
      },
      reported.resolve,
    );
    await Deno.writeTextFile(`${pins.directory}/links/x`, "");
    assert.equal(
      await reported.promise,
      "the pinned programs could not be checked: open link: EMFILE (Too many open files)",
    );
  } finally {
    await Deno.remove(bpffs, { recursive: true });
  }
});
