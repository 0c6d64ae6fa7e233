import { libc, O_CLOEXEC, O_RDONLY } from "./libc.ts";
import { cString } from "./memory.ts";

const SYS_finit_module = { x86_64: 313n, aarch64: 273n }[Deno.build.arch]; // asm/unistd.h
const MODULE_INIT_COMPRESSED_FILE = 4; // linux/module.h, since Linux 5.17

/**
 * Has the kernel load a module from its file (.ko, .ko.xz, .ko.zst or .ko.gz), as insmod does. Those it needs must be
 * loaded. It takes CAP_SYS_MODULE.
 * @returns false when it is not loaded by this: refused, or loaded before. The kernel's reason is in its log.
 */
export function insertModule(path: string): boolean {
  const file = libc().open(cString(path), O_RDONLY | O_CLOEXEC);
  if (file < 0) return false;
  try {
    const flags = path.endsWith(".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
    return libc().finit_module(SYS_finit_module, file, cString(""), flags) === 0n;
  } finally {
    libc().close(file);
  }
}
