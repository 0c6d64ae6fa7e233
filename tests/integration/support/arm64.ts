import assert from "node:assert/strict";
import { cache } from "../../lab/cache.ts";

const project = new URL("../../../", import.meta.url).pathname;

/** The directory with the C library for arm64, in which `scripts/arm64.sh libraries` unpacks Debian's packages. */
export const ARM64_ROOT = `${cache}/arm64/root`;

/** True on a machine that cannot run scripts/setup.sh arm64: only x86-64 has Debian's emulator for these tests. */
export const NO_ARM64 = Deno.build.arch !== "x86_64";

/** Runs a script of this project, which may download some 60 MB the first time. */
export async function prepare(script: string, ...args: readonly string[]): Promise<void> {
  const command = new Deno.Command(`${project}scripts/${script}`, {
    args: [...args],
    signal: AbortSignal.timeout(600_000),
  });
  const { success, stderr } = await command.output();
  assert(success, `scripts/${script} ${args.join(" ")}: ${new TextDecoder().decode(stderr)}`);
}

/**
 * Runs a program for arm64 in an emulator that passes its system calls on to this kernel.
 * @param root the directory with the program's loader and C library.
 * @returns standard output and standard error.
 */
export async function emulated(root: string, program: string, ...args: readonly string[]): Promise<string> {
  const emulator = new Deno.Command("qemu-aarch64-static", {
    args: ["-L", root, program, ...args],
    signal: AbortSignal.timeout(600_000),
  });
  const { stdout, stderr } = await emulator.output();
  return new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr);
}
