/** What mode ebpf gets of a lab, so that several labs may run at the same time. */
export interface SocketPlace {
  /** A directory of a bpffs of the lab's own; the proxy makes it. */
  readonly bpffs: string;
  /** A cgroup of the lab's own, for those whose sockets are this node's. */
  readonly cgroup: string;
}

/** Flags of the proxy. */
export function socketFlags({ bpffs, cgroup }: SocketPlace): readonly string[] {
  return [`--ebpf-bpffs=${bpffs}`, `--ebpf-cgroup=${cgroup}`];
}

/** Where it is in the lab's directory. */
export function socketPlaceIn(directory: string, prefix: string): SocketPlace {
  return { bpffs: `${directory}/bpf/proxy`, cgroup: `${directory}/cgroup/${prefix}` };
}

/** keeper.sh takes it down. */
export async function makeSocketPlace({ bpffs, cgroup }: SocketPlace): Promise<void> {
  // The usual mounts below /sys are out of sight: `ip netns exec` mounts another /sys.
  await mount("bpf", parentOf(bpffs));
  await mount("cgroup2", parentOf(cgroup));
  await Deno.mkdir(cgroup);
}

async function mount(type: string, path: string): Promise<void> {
  await Deno.mkdir(path);
  const { code, stderr } = await new Deno.Command("mount", { args: ["-t", type, type, path] }).output();
  if (code !== 0) throw new Error(`mount -t ${type}: ${new TextDecoder().decode(stderr)}`);
}

function parentOf(path: string): string {
  return path.slice(0, path.lastIndexOf("/"));
}
