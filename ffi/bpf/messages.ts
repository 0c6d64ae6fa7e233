import { libbpf } from "../libbpf.ts";
import { libc } from "../libc.ts";

const LIBBPF_DEBUG = 2; // enum libbpf_print_level, bpf/libbpf.h

/** The verifier's log of one program is at most so long here; the end is what matters, and libbpf prints that last. */
const LONGEST_MESSAGE = 1 << 20;

/**
 * Calls libbpf and keeps what it would print to standard error: most of its functions return an errno only, and say
 * in a message what it is about.
 */
export function withMessages<Result>(
  call: () => Result,
): { readonly result: Result; readonly messages: string } {
  const buffer = new Uint8Array(LONGEST_MESSAGE);
  let messages = "";
  // A va_list is a pointer as an argument, on x86-64 (an array) as on arm64 (a structure too large for registers).
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
 * What of libbpf's messages says why: the verifier's last lines before its statistics when it refused a program, else
 * libbpf's own first line.
 */
export function reasonIn(messages: string): string | undefined {
  const lines = messages.split("\n").map((line) => line.trim()).filter((line) => line !== "");
  const begin = lines.findIndex((line) => line.includes("BEGIN PROG LOAD LOG"));
  const end = lines.findIndex((line) => line.includes("END PROG LOAD LOG"));
  if (begin < 0 || end < 0) return lines[0]?.replace(/^libbpf: /, "");
  const log = lines.slice(begin + 1, end).filter((line) => !/^(processed \d+ insns|;)/.test(line));
  const program = /prog '([^']+)'/.exec(lines[begin] ?? "")?.[1];
  return `the verifier refuses program ${program ?? "?"}: ${log.slice(-3).join(" | ")}`;
}
