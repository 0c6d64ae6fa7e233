/** Default profile of Docker and Podman, as a Debian package installs it. */
const path = "/usr/share/containers/seccomp.json";

/**
 * Capabilities that allow system calls in the profiles of Docker, containerd and CRI-O. Debian 12's profile is older.
 * Its list allows bpf() only with CAP_SYS_ADMIN.
 */
const newerCapabilities: Readonly<Record<string, string>> = {
  CAP_BPF: "bpf",
  CAP_PERFMON: "perf_event_open",
};

interface Rule {
  readonly names: readonly string[];
  readonly action: string;
  readonly args: readonly object[] | null;
  readonly errnoRet?: number;
  readonly includes?: Condition;
  readonly excludes?: Condition;
}

interface Condition {
  readonly caps?: readonly string[];
  readonly arches?: readonly string[];
}

/**
 * Resolves the conditions of the default profile for a set of capabilities, as container engines do for runc.
 * @param isOld the profile of an engine that does not know CAP_BPF
 */
export function seccompProfile(capabilities: readonly string[], isOld: boolean): object {
  const profile: { defaultAction: string; defaultErrnoRet?: number; syscalls: Rule[] } = JSON.parse(
    Deno.readTextFileSync(path),
  );
  const architecture = Deno.build.arch === "x86_64" ? "amd64" : "arm64";
  const holds = ({ caps = [], arches = [] }: Condition) =>
    caps.some((capability) => capabilities.includes(capability)) || arches.includes(architecture);
  const isNamed = ({ caps = [], arches = [] }: Condition = {}) => caps.length + arches.length > 0;
  const rules = profile.syscalls.filter(({ includes, excludes }) =>
    (!isNamed(includes) || holds(includes ?? {})) && !(isNamed(excludes) && holds(excludes ?? {}))
  );
  const granted = Object.entries(newerCapabilities)
    .filter(([capability]) => capabilities.includes(capability)).map(([, call]) => call);
  const isGranted = (name: string) => !isOld && granted.includes(name);
  const isDenied = (name: string) => isOld && granted.includes(name);
  return {
    defaultAction: profile.defaultAction,
    defaultErrnoRet: profile.defaultErrnoRet,
    architectures: Deno.build.arch === "x86_64" ? ["SCMP_ARCH_X86_64"] : ["SCMP_ARCH_AARCH64"],
    syscalls: [
      ...rules.map(({ names, action, args, errnoRet }) => ({
        names: names.filter((name) => !isGranted(name) && !(isDenied(name) && action === "SCMP_ACT_ALLOW")),
        action,
        ...(args === null ? {} : { args }),
        ...(errnoRet === undefined ? {} : { errnoRet }),
      })).filter(({ names }) => names.length > 0),
      ...(isOld || granted.length === 0 ? [] : [{ names: granted, action: "SCMP_ACT_ALLOW" }]),
    ],
  };
}
