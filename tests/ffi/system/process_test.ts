import assert from "node:assert/strict";
import { processOfThread, raiseOpenFileLimit } from "../../../ffi/system/process.ts";

Deno.test({
  name: "the limit of open files is raised to the hard limit",
  // libc stays open for the life of the process.
  sanitizeResources: false,
  fn() {
    raiseOpenFileLimit();
    const limits = Deno.readTextFileSync("/proc/self/limits");
    const [, soft, hard] = /^Max open files +(\d+) +(\d+)/m.exec(limits) ?? [];
    assert.ok(soft !== undefined);
    assert.equal(soft, hard);
  },
});

const nameOf = (id: number) => Deno.readTextFileSync(`/proc/${id}/comm`).trimEnd();

Deno.test("a thread is named by its process", () => {
  const threads = [...Deno.readDirSync(`/proc/${Deno.pid}/task`)].map(({ name }) => Number(name));
  assert.ok(threads.length > 1);
  for (const thread of threads) {
    assert.deepEqual(processOfThread(nameOf(thread), thread), { name: nameOf(Deno.pid), pid: Deno.pid });
  }
});

Deno.test("a thread that has ended keeps its name and id, as does one of another PID namespace", () => {
  assert.deepEqual(processOfThread("nft", 0), { name: "nft", pid: 0 });
  assert.deepEqual(processOfThread("another name", Deno.pid), { name: "another name", pid: Deno.pid });
});
