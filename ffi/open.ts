import { libc, MFD_CLOEXEC, MFD_NOEXEC_SEAL } from "./libc.ts";
import { cString } from "./memory.ts";

/** A shared library by the name its users link to, and where an operator gets it. */
export interface SharedLibrary {
  readonly soname: string;
  readonly debianPackage: string;
}

/** A shared library is missing or cannot be loaded. The message names its package. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
}

/**
 * Opens a library: the copy embedded in the binary when there is one, the system's otherwise. A library that another
 * one needs (libnl-3 for libnl-genl-3) has to be opened before it: the loader then finds it by its soname.
 * @throws LibraryError that names the library, its package and why each place failed.
 */
export function openLibrary<Symbols extends Deno.ForeignLibraryInterface>(
  library: SharedLibrary,
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols>["symbols"] {
  const failures: string[] = [];
  for (const place of [embeddedPath, systemPath]) {
    try {
      const path = place(library.soname);
      if (path !== undefined) return Deno.dlopen(path, symbols).symbols;
      failures.push("not embedded in this binary");
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Deno says it twice before it comes to the loader's own words.
      failures.push(message.replace(/^(Could not open library: )+/, ""));
    }
  }
  throw new LibraryError(
    `${library.soname}: cannot be loaded (${failures.join("; ")}). ` +
      `Install it: apt-get install ${library.debianPackage}`,
  );
}

/**
 * The bytes of a file that scripts/build.sh embedded, undefined when it did not. Embedded files are in `embed/`
 * beside the bundle, so a program that runs from its sources has none.
 */
export function embeddedFile(name: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(new URL(`./embed/${name}`, import.meta.url));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/**
 * A path under which the loader can open an embedded library without any writable file system.
 *
 * The descriptor stays open for the life of the process: glibc takes two libraries opened under one path for the
 * same library, so the number in the path must not be used again.
 */
function embeddedPath(soname: string): string | undefined {
  const bytes = embeddedFile(soname);
  if (bytes === undefined) return undefined;
  // Sealed against execution where the kernel can: sysctl vm.memfd_noexec=2 demands it, and mapping code still works.
  let fd = libc().memfd_create(cString(soname), MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd < 0) fd = libc().memfd_create(cString(soname), MFD_CLOEXEC);
  if (fd < 0) throw new Error("the embedded copy cannot be used: memfd_create failed");
  for (let written = 0; written < bytes.length;) {
    const rest = bytes.subarray(written);
    const count = Number(libc().write(fd, rest, BigInt(rest.length)));
    if (count <= 0) {
      libc().close(fd);
      throw new Error("the embedded copy cannot be used: writing it to memory failed");
    }
    written += count;
  }
  return `/proc/self/fd/${fd}`;
}

function systemPath(soname: string): string {
  return soname;
}
