import { O_DIRECTORY } from "../architecture.ts";
import { libc, O_CLOEXEC, O_RDONLY } from "../libraries/libc.ts";
import { cString } from "../memory.ts";

/** An open file descriptor. Deno's own files do not expose theirs. */
export interface FileDescriptor extends Disposable {
  readonly fd: number;
}

/** Opens a file for reading; undefined if that fails. */
export function openFile(path: string): FileDescriptor | undefined {
  return open(path, O_RDONLY);
}

/**
 * Opens a directory.
 * @throws Deno.errors.NotFound and the like, with the path.
 */
export function openDirectory(path: string): FileDescriptor {
  // Throws the reason, because errno is not reliable after a call through FFI.
  if (!Deno.statSync(path).isDirectory) throw new Deno.errors.NotADirectory(path);
  const directory = open(path, O_RDONLY | O_DIRECTORY);
  if (directory === undefined) throw new Deno.errors.PermissionDenied(path);
  return directory;
}

function open(path: string, flags: number): FileDescriptor | undefined {
  const fd = libc().open(cString(path), flags | O_CLOEXEC);
  return fd < 0 ? undefined : { fd, [Symbol.dispose]: () => void libc().close(fd) };
}
