import { type FileDescriptor, openDirectory } from "./file_descriptor.ts";
import { libc, LOCK_EX, LOCK_NB } from "../libraries/libc.ts";

/**
 * Takes an exclusive lock on a directory: flock(2). All processes that see the directory share it, whatever namespaces
 * they are in. The kernel takes it back when the process ends.
 * @returns undefined if another process has it.
 * @throws Deno.errors.NotFound and the like, with the path.
 */
export function lockDirectory(path: string): Disposable | undefined {
  const directory: FileDescriptor = openDirectory(path);
  if (libc().flock(directory.fd, LOCK_EX | LOCK_NB) === 0) return directory;
  directory[Symbol.dispose]();
  return undefined;
}

/**
 * The process that has the lock of a directory.
 * @returns undefined if there is none, or if it is outside our PID namespace.
 */
export function lockHolder(path: string): number | undefined {
  const { dev, ino } = Deno.statSync(path);
  const [major, minor] = [dev >> 8 & 0xfff, dev & 0xff | dev >> 12 & 0xfff00];
  const file = `${hex(major)}:${hex(minor)}:${ino}`;
  // 1: FLOCK  ADVISORY  WRITE 4711 00:2a:1234 0 EOF
  for (const line of Deno.readTextFileSync("/proc/locks").split("\n")) {
    const [, type, , , pid, lockedFile] = line.split(/\s+/);
    if (type === "FLOCK" && lockedFile === file && Number(pid) > 0) return Number(pid);
  }
  return undefined;
}

function hex(number: number): string {
  return number.toString(16).padStart(2, "0");
}
