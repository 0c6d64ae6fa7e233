import { libc, O_CLOEXEC, O_DIRECTORY, O_RDONLY } from "./libc.ts";
import { cString } from "./memory.ts";

/** A directory as a descriptor, which Deno has none of. */
export interface OpenDirectory extends Disposable {
  readonly fd: number;
}

/** @throws Deno.errors.NotFound and its like, with the path. */
export function openDirectory(path: string): OpenDirectory {
  // Says why it cannot be, which errno does not do reliably.
  if (!Deno.statSync(path).isDirectory) throw new Deno.errors.NotADirectory(path);
  const fd = libc().open(cString(path), O_RDONLY | O_DIRECTORY | O_CLOEXEC);
  if (fd < 0) throw new Deno.errors.PermissionDenied(path);
  return { fd, [Symbol.dispose]: () => void libc().close(fd) };
}
