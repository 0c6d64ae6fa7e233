/** Writes all bytes synchronously, so that a line is out before a crash that follows it. */
export function writeToStandardOutput(text: string): void {
  write(Deno.stdout, text);
}

export function writeToStandardError(text: string): void {
  write(Deno.stderr, text);
}

const encoder = new TextEncoder();

function write(stream: { writeSync(bytes: Uint8Array): number }, text: string): void {
  try {
    let rest = encoder.encode(text);
    while (rest.length > 0) rest = rest.subarray(stream.writeSync(rest));
  } catch (error) {
    // A reader that has gone (`proxy --help | head`) must not end the process.
    if (!(error instanceof Deno.errors.BrokenPipe)) throw error;
  }
}
