import type { ProxyConfig } from "../../config/config.ts";
import { createLog, type Log } from "../../observe/log.ts";
import type { Terminal } from "../command.ts";

/** A log for a command that prints data: warnings and errors only, so that nothing hides them. */
export function commandLog({ logging }: ProxyConfig, { logOutput }: Pick<Terminal, "logOutput">): Log {
  const log = createLog({
    ...logging,
    write: (line, severity) => {
      if (severity !== "info") logOutput.write(line, severity);
    },
  });
  logOutput.reportTo(log);
  return log;
}
