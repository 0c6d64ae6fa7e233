import { libbpf } from "../libraries/libbpf.ts";
import { libc } from "../libraries/libc.ts";

const LIBBPF_DEBUG = 2; // enum libbpf_print_level, bpf/libbpf.h

/** Limit for the verifier's log of one program. The end matters, and libbpf prints that last. */
const MAX_MESSAGE_BYTES = 1 << 20;

/**
 * Calls libbpf and collects the messages that it would print to standard error. Most of its functions return only an
 * errno, and print the reason.
 */
export function withMessages<Result>(
  call: () => Result,
): { readonly result: Result; readonly messages: string } {
  const buffer = new Uint8Array(MAX_MESSAGE_BYTES);
  let messages = "";
  // A va_list argument is a pointer, on x86-64 (an array) and on arm64 (a structure too large for registers).
  const print = new Deno.UnsafeCallback(
    { parameters: ["i32", "pointer", "pointer"], result: "i32" } as const,
    (level, format, list) => {
      if (level >= LIBBPF_DEBUG) return 0;
      const length = libc().vsnprintf(buffer, BigInt(buffer.length), format, list);
      messages += new TextDecoder().decode(buffer.subarray(0, Math.min(length, buffer.length - 1)));
      return length;
    },
  );
  const before = libbpf().libbpf_set_print(print.pointer);
  try {
    return { result: call(), messages };
  } finally {
    libbpf().libbpf_set_print(before);
    print.close();
  }
}

/**
 * Extracts the reason from libbpf's messages: the verifier's last lines before its statistics if it rejected a program,
 * otherwise the first line of libbpf.
 */
export function reasonIn(messages: string): string | undefined {
  const lines = messages.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const begin = lines.findIndex((line) => line.includes("BEGIN PROG LOAD LOG"));
  const end = lines.findIndex((line) => line.includes("END PROG LOAD LOG"));
  if (begin < 0 || end < 0) return lines[0]?.replace(/^libbpf: /, "");
  const log = lines.slice(begin + 1, end).filter((line) => !/^(processed \d+ insns|;)/.test(line));
  const program = /prog '([^']+)'/.exec(lines[begin] ?? "")?.[1];
  return `the verifier rejects program ${program ?? "?"}: ${log.slice(-3).join(" | ")}`;
}
