import { deepEqual, equal } from "node:assert/strict";
import { AnswerGate } from "../../../core/manifests/answer_gate.ts";

/** A file system that answers when the test says so. */
class SlowFileSystem {
  readonly questions: PromiseWithResolvers<void>[] = [];
  readonly ask = (): Promise<void> => {
    const question = Promise.withResolvers<void>();
    this.questions.push(question);
    return question.promise;
  };
}

const turn = () => new Promise((resolve) => setTimeout(resolve, 0));

Deno.test("a directory is read when its file system answers, with everything that was requested meanwhile", async () => {
  const fileSystem = new SlowFileSystem();
  const reads: [readonly string[], boolean][] = [];
  const read = (named: ReadonlySet<string>, everything: boolean) => reads.push([[...named], everything]);
  await using gate = new AnswerGate({ directory: "/m", read, silent: () => {}, ask: fileSystem.ask });
  gate.request(new Set(["/m/a"]), false);
  gate.request(new Set(["/m/b"]), true);
  await turn();
  deepEqual(reads, []);
  equal(fileSystem.questions.length, 1, "one question at a time");
  fileSystem.questions[0]?.resolve();
  await turn();
  deepEqual(reads, [[["/m/a", "/m/b"], true]]);
  gate.request(new Set(["/m/c"]), false);
  fileSystem.questions[1]?.resolve();
  await turn();
  deepEqual(reads[1], [["/m/c"], false]);
});

Deno.test("a file system that does not answer is reported once, and read when it answers", async () => {
  const fileSystem = new SlowFileSystem();
  const calls: string[] = [];
  await using gate = new AnswerGate({
    directory: "/m",
    read: () => calls.push("read"),
    silent: () => calls.push("silent"),
    answerMs: 1,
    ask: fileSystem.ask,
  });
  gate.request(new Set(), false);
  const deadline = performance.now() + 20_000;
  while (calls.length === 0 && performance.now() < deadline) await turn();
  gate.request(new Set(), false);
  await turn();
  deepEqual(calls, ["silent"]);
  fileSystem.questions[0]?.resolve();
  await turn();
  deepEqual(calls, ["silent", "read"]);
});

Deno.test("a file system that does not answer does not keep the process from its end", async () => {
  const fileSystem = new SlowFileSystem();
  const calls: string[] = [];
  {
    await using gate = new AnswerGate({
      directory: "/m",
      read: () => calls.push("read"),
      silent: () => calls.push("silent"),
      ask: fileSystem.ask,
    });
    gate.request(new Set(), false);
  }
  fileSystem.questions[0]?.resolve();
  await turn();
  deepEqual(calls, []);
});
