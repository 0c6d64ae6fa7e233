/** The process's reaction to signals. Imported first, so that it is in force while the other modules start. */

// SIGHUP, which means "read everything again", ends a process that does not handle it. Until the source is open
// (core/commands/run/proxy.ts) there is nothing to read again. Only reads that are still to come matter, so the signal
// is ignored.
Deno.addSignalListener("SIGHUP", () => {});

/** Exit codes that shells report for a process that the signal ended. */
const interruptions = { SIGINT: () => Deno.exit(130), SIGTERM: () => Deno.exit(143) } as const;
const terminations = ["SIGINT", "SIGTERM"] as const;

// The kernel does not end the first process of a PID namespace, as in a container, for a signal that it leaves to the
// default action. The runtime, which catches both signals, would repeat the signal, and then abort with a
// segmentation fault.
if (Deno.pid === 1) {
  for (const signal of terminations) Deno.addSignalListener(signal, interruptions[signal]);
}

/** Aborts on SIGTERM and SIGINT, which from then on do not end the process. */
export function terminationSignal(): AbortSignal {
  const stop = new AbortController();
  for (const signal of terminations) {
    Deno.addSignalListener(signal, () => stop.abort());
    Deno.removeSignalListener(signal, interruptions[signal]);
  }
  return stop.signal;
}
