import { type Flag, flag, type FlagTable } from "./flag.ts";

/** Makes an entry for a flag that is accepted without effect. */
function removed(type: "bool" | "string", reason: string): Flag {
  return flag(type, type === "bool" ? false : "", "", {
    deprecated: `it has no effect, because ${reason}; remove it`,
  });
}

const oneStream = "all log lines go to standard error";
const neverUsed = "no proxy has ever used it";

/**
 * Flags that kube-proxy had until one of the releases since 1.16. The lines of distributions and of operators still
 * have them, so they are accepted with a warning. kube-proxy refuses them.
 */
export const removedFlags: FlagTable = {
  "add-dir-header": removed("bool", "log lines do not name source files"),
  alsologtostderr: removed("bool", oneStream),
  "log-backtrace-at": removed("string", "log lines have no stack"),
  "log-dir": removed("string", oneStream),
  "log-file": removed("string", oneStream),
  "log-file-max-size": removed("string", oneStream),
  logtostderr: removed("bool", oneStream),
  "one-output": removed("bool", oneStream),
  "skip-headers": removed("bool", "log lines always have a header"),
  "skip-log-headers": removed("bool", oneStream),
  stderrthreshold: removed("string", oneStream),
  "boot-id-file": removed("string", neverUsed),
  "machine-id-file": removed("string", neverUsed),
  "azure-container-registry-config": removed("string", neverUsed),
  "cloud-provider-gce-l7lb-src-cidrs": removed("string", neverUsed),
  "cloud-provider-gce-lb-src-cidrs": removed("string", neverUsed),
  "default-not-ready-toleration-seconds": removed("string", neverUsed),
  "default-unreachable-toleration-seconds": removed("string", neverUsed),
  "cleanup-ipvs": removed("bool", "--cleanup removes the rules of every mode"),
  "proxy-port-range": removed("string", "the listeners of the proxy choose their ports themselves"),
  "resource-container": removed("string", "systemd or the container runtime assigns the cgroup"),
};
