/** A program that reads files while every thread of the runtime waits, so that garbage is collected before the reads begin. */
import { fileSystemAnswers, readBlockingFile } from "../../../ffi/files/blocking_file.ts";
import { cString } from "../../../ffi/memory.ts";

const FILES = 100;
/** More than the threads of the runtime for blocking calls: 32 in Deno 2.6. */
const WAITING = 64;

const [directory = ""] = Deno.args;
const names = Array.from({ length: FILES }, (_, index) => String(index).padStart(3, "0"));
for (const name of names) {
  Deno.writeTextFileSync(`${directory}/right-${name}`, name);
  Deno.writeTextFileSync(`${directory}/wrong-${name}`, "of another file");
}
// A FIFO without a writer cannot be opened.
const waiting = Array.from({ length: WAITING }, () => fileSystemAnswers(`${directory}/fifo`));
const reads = names.map((name) => readBlockingFile(`${directory}/right-${name}`));

const collect: unknown = Reflect.get(globalThis, "gc");
if (typeof collect !== "function") throw new TypeError("needs --expose-gc");
collect();
// Takes the memory that is free.
const others = names.map((name) => cString(`${directory}/wrong-${name}`));

const writer = Deno.openSync(`${directory}/fifo`, { write: true });
await Promise.all(waiting);
writer.close();
const texts = (await Promise.all(reads)).map((bytes) => new TextDecoder().decode(bytes));
const mistaken = names.filter((name, index) => texts[index] !== name);
console.log(`${mistaken.length} of ${others.length} reads returned another file`);
