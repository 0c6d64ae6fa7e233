import type { ProxyConfig } from "../../config/config.ts";
import { clusterAccess } from "../../kube/access/access.ts";
import { ApiSource } from "../../kube/api/api.ts";
import { recordFolder } from "../../manifests/record.ts";
import { ManifestSource } from "../../manifests/source.ts";
import type { WatchObserver } from "../../kube/api/reflector.ts";
import type { RequestObserver } from "../../kube/api/transport.ts";
import type { Source } from "../../source.ts";
import type { Log } from "../../observe/log.ts";
import { VERSION } from "../../version.ts";

interface OpenOptions {
  /**
   * "program": what the source delivers is put in force. "start": nothing is, and the source delivers what it would at a
   * start. "read": it delivers what it has.
   */
  readonly purpose?: Purpose;
  /** Observes the requests to the API server. */
  readonly requests?: RequestObserver;
  /** Observes the collections of the API server. */
  readonly watches?: WatchObserver;
}

export type Purpose = "program" | "start" | "read";

/**
 * Creates the configured source of objects.
 * @throws UserError when the configured source cannot be used.
 */
export function openSource(
  { source, nodeName }: ProxyConfig,
  log: Log,
  { purpose = "program", ...observers }: OpenOptions = {},
): Source {
  if (source.kind === "manifests") {
    const record = purpose === "read"
      ? undefined
      : { folder: recordFolder(), isWritten: purpose === "program" };
    return new ManifestSource({ directory: source.directory, record, log });
  }
  const { watchServiceCidrs } = source;
  const userAgent = `proxy/${VERSION}`;
  const access = clusterAccess(source);
  return new ApiSource({ access, nodeName, watchServiceCidrs, userAgent, log, ...observers });
}
