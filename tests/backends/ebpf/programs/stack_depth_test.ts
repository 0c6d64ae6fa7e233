import assert from "node:assert/strict";
import { stackDepths } from "./stack_depth.ts";

const root = new URL("../../../../", import.meta.url).pathname;

/** MAX_BPF_STACK, linux/filter.h. Linux 6.1 adds up all frames; later kernels accept some programs that exceed it. */
const MAX_STACK = 512;

for (const object of ["sock", "tc", "tc_netfilter", "find", "destroy"]) {
  Deno.test(`the stack of each program of ${object}.bpf.c suffices on every kernel`, async () => {
    const { code, stderr } = await new Deno.Command("scripts/bpf.sh", { cwd: root }).output();
    assert.equal(code, 0, new TextDecoder().decode(stderr));
    const depths = stackDepths(await Deno.readFile(`${root}dist/bpf/${object}.bpf.o`));
    assert(depths.length > 0);
    assert.deepEqual(depths.filter(({ bytes }) => bytes > MAX_STACK), []);
  });
}
