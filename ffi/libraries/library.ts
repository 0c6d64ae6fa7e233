import { libc, MFD_CLOEXEC, MFD_NOEXEC_SEAL, RTLD_LAZY, RTLD_NODELETE } from "./libc.ts";
import { cString } from "../memory.ts";

/** A shared library: its soname, and the Debian package that an operator installs to get it. */
export interface SharedLibrary {
  readonly soname: string;
  readonly debianPackage: string;
}

/** A shared library is missing or cannot be loaded. The message names its package. */
export class LibraryError extends Error {
  override readonly name = "LibraryError";
}

/**
 * Opens a library: the copy embedded in the binary if there is one, otherwise the system's. Open the dependencies of a
 * library first (libelf before libbpf), because the loader then finds them by their soname. It stays loaded for the life
 * of the process.
 * @throws LibraryError that names the library, its package and the reason of failure for each place.
 */
export function openLibrary<Symbols extends Deno.ForeignLibraryInterface>(
  library: SharedLibrary,
  symbols: Symbols,
): Deno.DynamicLibrary<Symbols>["symbols"] {
  const failures: string[] = [];
  for (const place of [embeddedPath, systemPath]) {
    try {
      const path = place(library.soname);
      if (path === undefined) {
        failures.push("not embedded in this binary");
        continue;
      }
      const { symbols: functions } = Deno.dlopen(path, symbols);
      // At the end of a worker or of a test module, the runtime unloads libraries without waiting for calls in other
      // threads, which would return to an address without code.
      libc().dlopen(cString(path), RTLD_LAZY | RTLD_NODELETE);
      return functions;
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      // Deno repeats this prefix before the loader's message.
      failures.push(message.replace(/^(Could not open library: )+/, ""));
    }
  }
  throw new LibraryError(
    `${library.soname}: cannot be loaded (${failures.join("; ")}). ` +
      `Install it: apt-get install ${library.debianPackage}`,
  );
}

/**
 * Reads a file that scripts/build.sh embedded; undefined if there is none. Embedded files are in `embed/` beside the
 * bundle, so a program that runs from its sources has none.
 */
export function embeddedFile(name: string): Uint8Array<ArrayBuffer> | undefined {
  try {
    return Deno.readFileSync(new URL(`./embed/${name}`, import.meta.url));
  } catch (error) {
    if (error instanceof Deno.errors.NotFound) return undefined;
    throw error;
  }
}

/** Returns the address of a script that scripts/build.sh embedded, for a worker; undefined if there is none. */
export function embeddedUrl(name: string): URL | undefined {
  return Deno.build.standalone ? new URL(`./embed/${name}`, import.meta.url) : undefined;
}

/**
 * Copies an embedded library to memory, so that the loader can open it without a writable file system.
 *
 * The descriptor stays open for the life of the process, because its number must not be reused: glibc treats two
 * libraries opened under one path as the same library.
 * @returns the path for the loader; undefined if the library is not embedded.
 */
function embeddedPath(soname: string): string | undefined {
  const bytes = embeddedFile(soname);
  if (bytes === undefined) return undefined;
  // Sealed against execution if the kernel supports it, because sysctl vm.memfd_noexec=2 requires it. Code can still
  // be mapped.
  let fd = libc().memfd_create(cString(soname), MFD_CLOEXEC | MFD_NOEXEC_SEAL);
  if (fd < 0) fd = libc().memfd_create(cString(soname), MFD_CLOEXEC);
  if (fd < 0) throw new Error("cannot use the embedded copy: memfd_create failed");
  for (let written = 0; written < bytes.length;) {
    const rest = bytes.subarray(written);
    const count = Number(libc().write(fd, rest, BigInt(rest.length)));
    if (count <= 0) {
      libc().close(fd);
      throw new Error("cannot use the embedded copy: writing it to memory failed");
    }
    written += count;
  }
  return `/proc/self/fd/${fd}`;
}

function systemPath(soname: string): string {
  return soname;
}
