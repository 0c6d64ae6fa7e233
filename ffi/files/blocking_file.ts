import { O_CLOEXEC, O_RDONLY } from "../libraries/libc.ts";
import { CallMemory, cString, returned } from "../memory.ts";

const symbols = {
  /** int open(const char *pathname, int flags) */
  open: { parameters: ["buffer", "i32"], result: "i32", nonblocking: true },
  /** ssize_t read(int fd, void *buf, size_t count) */
  read: { parameters: ["i32", "buffer", "usize"], result: "isize", nonblocking: true },
  /** int close(int fd) */
  close: { parameters: ["i32"], result: "i32", nonblocking: true },
} as const satisfies Deno.ForeignLibraryInterface;

let opened: Deno.DynamicLibrary<typeof symbols>["symbols"] | undefined;

function calls(): Deno.DynamicLibrary<typeof symbols>["symbols"] {
  return opened ??= Deno.dlopen("libc.so.6", symbols).symbols;
}

/**
 * Reads a file whose file system may not answer, without blocking the process: Deno.readTextFile opens the file on the
 * main thread, so that even timers stop. The call occupies a thread until the file system answers.
 * @throws RangeError when the file is larger than 16 MiB, and the error of Deno.readFile when it cannot be read
 */
export async function readBlockingFile(path: string): Promise<Uint8Array<ArrayBuffer>> {
  const file = await openBlocking(path);
  // The file system has answered, so this call does not block. It fails with the reason.
  if (file < 0) return await Deno.readFile(path);
  try {
    return await readAll(file) ?? await Deno.readFile(path);
  } finally {
    await calls().close(file);
  }
}

/**
 * Resolves when the file system of a path has answered, whether the path exists or not. Occupies a thread until then.
 */
export async function fileSystemAnswers(path: string): Promise<void> {
  const file = await openBlocking(path);
  if (file >= 0) await calls().close(file);
}

/** @returns the descriptor; negative after an error. */
function openBlocking(path: string): Promise<number> {
  const name = cString(path);
  return returned(calls().open(name, O_RDONLY | O_CLOEXEC), name);
}

const CHUNK_BYTES = 65_536;
const MAX_BYTES = 16 * 1024 * 1024;

/** The rest of an open file; undefined when a read fails. */
async function readAll(file: number): Promise<Uint8Array<ArrayBuffer> | undefined> {
  using memory = new CallMemory(CHUNK_BYTES);
  const chunk = new Uint8Array(memory.buffer);
  let bytes = new Uint8Array(0);
  for (;;) {
    const count = Number(await calls().read(file, chunk, BigInt(chunk.length)));
    if (count < 0) return undefined;
    if (count === 0) return bytes;
    const longer = new Uint8Array(bytes.length + count);
    longer.set(bytes);
    longer.set(chunk.subarray(0, count), bytes.length);
    bytes = longer;
    if (bytes.length > MAX_BYTES) throw new RangeError(`larger than ${MAX_BYTES} bytes`);
  }
}
