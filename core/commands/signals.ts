// SIGHUP, which means "read everything again", ends a process that does not handle it. Until the source is open
// (proxy.ts) there is nothing to read again. Only reads that are still to come matter, so the signal is ignored.
Deno.addSignalListener("SIGHUP", () => {});
