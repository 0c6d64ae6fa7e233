import type { ProxyConfig } from "../config/config.ts";
import { clusterAccess } from "../kube/access/access.ts";
import { ApiSource } from "../kube/api/api.ts";
import { recordFolder } from "../manifests/record.ts";
import { ManifestSource } from "../manifests/source.ts";
import type { Source } from "../source.ts";
import type { Log } from "../observe/log.ts";
import { VERSION } from "../version.ts";

/**
 * Creates the configured source of objects.
 * @param purpose "program": what it delivers is put in force. "read": nothing is.
 * @throws UserError when the configured source cannot be used.
 */
export function openSource(
  { source, nodeName }: ProxyConfig,
  log: Log,
  purpose: "program" | "read" = "program",
): Source {
  if (source.kind === "manifests") {
    const folder = purpose === "program" ? recordFolder() : undefined;
    return new ManifestSource({ directory: source.directory, recordFolder: folder, log });
  }
  const { watchServiceCidrs } = source;
  const userAgent = `proxy/${VERSION}`;
  return new ApiSource({ access: clusterAccess(source), nodeName, watchServiceCidrs, userAgent, log });
}
