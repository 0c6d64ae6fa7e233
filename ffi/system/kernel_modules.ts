import { SYS_finit_module } from "../architecture.ts";
import { openFile } from "../files/file_descriptor.ts";
import { libc } from "../libraries/libc.ts";
import { cString } from "../memory.ts";

const MODULE_INIT_COMPRESSED_FILE = 4; // linux/module.h, since Linux 5.17

/**
 * Loads a kernel module from its file (.ko, .ko.xz, .ko.zst or .ko.gz), as insmod does. The modules that it depends on
 * must be loaded. Needs CAP_SYS_MODULE.
 * @returns false if this call did not load it: the kernel rejected it, or it was loaded before. The kernel log says
 * why.
 */
export function insertModule(path: string): boolean {
  using file = openFile(path);
  if (file === undefined) return false;
  const flags = path.endsWith(".ko") ? 0 : MODULE_INIT_COMPRESSED_FILE;
  return libc().finit_module(SYS_finit_module, file.fd, cString(""), flags) === 0n;
}
