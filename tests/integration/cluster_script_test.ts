import assert from "node:assert/strict";

// Messages of scripts/cluster.sh before it builds or starts anything, and what its `down` removes. Each test has
// mounts and a cluster name of its own.

const project = new URL("../../", import.meta.url).pathname;

const prologue = `
mount -t tmpfs -o size=20g tmpfs /mnt
cluster() { scripts/cluster.sh "$@"; }
`;

interface Result {
  readonly code: number;
  readonly output: string;
}

/** Runs bash in a mount namespace of its own with an empty cache, in which `cluster` calls scripts/cluster.sh. */
async function inOwnMounts(name: string, script: string): Promise<Result> {
  const { code, stdout, stderr } = await new Deno.Command("unshare", {
    args: ["--mount", "--propagation", "private", "bash", "-euc", prologue + script],
    cwd: project,
    env: { PROXY_CLUSTER: name, PROXY_CACHE: "/mnt" },
  }).output();
  return { code, output: new TextDecoder().decode(stdout) + new TextDecoder().decode(stderr) };
}

/** Runs a script that is expected to end with one message. */
async function refused(name: string, script: string): Promise<string> {
  const { code, output } = await inOwnMounts(name, script);
  assert.notEqual(code, 0, output);
  assert.equal(output.trimEnd().split("\n").length, 1, output);
  return output.trimEnd();
}

const ownName = () => `t${crypto.randomUUID().slice(0, 8)}`;

Deno.test("a mistake on the command line of cluster.sh is one message that names it", async (test) => {
  for (
    const [args, message] of [
      ["up --nodes 0", "cluster: --nodes 0: must be 1 to 9"],
      ["up --nodes", "cluster: --nodes needs a value"],
      ["up --families six", "cluster: --families six: must be dual, ipv4 or ipv6"],
      ["up --cni calico", "cluster: --cni calico: must be bridge or ptp"],
      ["up --size 3", "cluster: unknown flag --size: must be"],
      ["up --mode kernelspace", "cluster: unknown mode kernelspace: must be one of ebpf, iptables"],
      ["deploy", "cluster: deploy needs one mode"],
      ["deploy nftables", "cluster: no cluster runs: scripts/cluster.sh up"],
      ["kubectl get nodes", "cluster: no cluster runs: scripts/cluster.sh up"],
      ["shell 1", "does not run. Nodes that run: none"],
      ["stop 1", "cluster: no cluster runs: scripts/cluster.sh up"],
      ["start etcd", "cluster: no cluster runs: scripts/cluster.sh up"],
    ] as const
  ) {
    await test.step(
      args,
      async () => assert((await refused(ownName(), `cluster ${args}`)).includes(message)),
    );
  }
  await test.step("PROXY_CLUSTER", async () => {
    assert.match(await refused("A/b", "cluster down"), /^cluster: PROXY_CLUSTER=A\/b: must be/);
  });
});

Deno.test("cluster.sh names what the machine lacks, and how to go on", async (test) => {
  await test.step("memory", async () => {
    const said = await refused(
      ownName(),
      `fake=$(mktemp); echo "MemAvailable: 1048576 kB" >$fake; mount --bind $fake /proc/meminfo; rm $fake
       cluster up --nodes 2`,
    );
    assert.match(
      said,
      /^cluster: --nodes 2 needs 2900 MB of memory, and 1024 MB are available: end other programs, or/,
    );
  });
  await test.step("disk", async () => {
    const said = await refused(
      ownName(),
      "mount -o remount,size=64m /mnt; cluster up --nodes 1",
    );
    assert.match(
      said,
      /^cluster: --nodes 1 needs 11200 MB in \/mnt\/cluster\/\w+, and 64 MB are free: free some, or set /,
    );
  });
  await test.step("cgroups", async () => {
    const said = await refused(ownName(), "umount --recursive --lazy /sys/fs/cgroup; cluster up --nodes 1");
    assert.match(said, /^cluster: no cgroups are mounted below \/sys\/fs\/cgroup: mount them/);
  });
  await test.step("writable cgroups", async () => {
    const said = await refused(
      ownName(),
      `awk '$5 ~ "^/sys/fs/cgroup" { print $5 }' /proc/self/mountinfo | xargs -n 1 mount -o remount,bind,ro
       cluster up --nodes 1`,
    );
    assert.match(said, /^cluster: cannot create cgroups in \/sys\/fs\/cgroup\S*: it must be writable/);
  });
});

Deno.test("cluster.sh does not start on a left-over cluster, and its down removes all of it", async () => {
  const name = ownName();
  const leftOver = `
    trap 'set +eu; { kill $inNamespace $inCgroup; ip netns delete ${name}-node-1; ip netns delete ${name}-control; } 2>/dev/null' EXIT
    ip netns add ${name}-control
    ip netns add ${name}-node-1
    ip netns exec ${name}-node-1 sleep 300 &
    inNamespace=$!
    . scripts/cluster/settings.sh
    hierarchy=$(hierarchies | sed -n '1s/ .*//p')
    mkdir -p $hierarchy/${name}-node-1/kubepods
    setsid sleep 300 &
    inCgroup=$!
    echo $inCgroup >$hierarchy/${name}-node-1/kubepods/cgroup.procs
    sleep 0.2`;
  const { code, output } = await inOwnMounts(
    name,
    `${leftOver}
     if cluster up --nodes 1; then echo started; fi
     cluster down
     for process in $inNamespace $inCgroup; do
       if kill -0 $process 2>/dev/null && [ $(ps -o stat= -p $process) != Z ]; then echo $process runs; fi
     done
     ip netns list | grep ${name} || echo no namespace
     [ -e $hierarchy/${name}-node-1 ] || echo no cgroup`,
  );
  assert.equal(code, 0, output);
  assert.match(output, new RegExp(`network namespace ${name}-control exists: .*scripts/cluster.sh down`));
  assert.doesNotMatch(output, /started| runs$/m);
  assert.match(output, /^no namespace$/m);
  assert.match(output, /^no cgroup$/m);
});

Deno.test("cluster.sh down has nothing to do without a cluster, and succeeds", async () => {
  assert.deepEqual(await inOwnMounts(ownName(), "cluster down"), { code: 0, output: "" });
});
