import assert from "node:assert/strict";
import { assertComplaint, Node } from "./support/node.ts";

Deno.test("an error on the command line is one message that names the flag, the value and the fix", async (t) => {
  await using node = await Node.make();
  const cases: readonly (readonly [flags: readonly string[], ...message: RegExp[]])[] = [
    [["--cluster-cdir=10.0.0.0/8"], /unknown flag --cluster-cdir: did you mean --cluster-cidr\?/],
    [["-config", "x"], /unknown flag -config: did you mean --config\?/],
    [["--xyzzy"], /unknown flag --xyzzy/, /see proxy --help/],
    [["chekc"], /unknown command chekc: did you mean check\?/],
    [["--manifests"], /--manifests needs a value/],
    [
      ["--cluster-cidr=10.0.0/8"],
      /--cluster-cidr "10\.0\.0\/8": must be an address range such as 10\.100\.0\.0\/16/,
    ],
    [
      ["--cluster-cidr=10.0.0.0/8,11.0.0.0/8"],
      /--cluster-cidr .*: must be one address range, or one per family/,
    ],
    [["--proxy-mode=nft"], /--proxy-mode "nft": must be nftables/],
    [["--iptables-masquerade-bit=32"], /--iptables-masquerade-bit 32: must be between 0 and 31/],
    [["--iptables-masquerade-bit=x"], /--iptables-masquerade-bit "x": must be a whole number/],
    [
      ["--nodeport-addresses=10.0.0.0"],
      /--nodeport-addresses "10\.0\.0\.0": must be an address range .*primary/,
    ],
    [["--nodeport-addresses=primary,primary"], /--nodeport-addresses "primary": must be written only once/],
    [["--bind-address=1.2.3"], /--bind-address "1\.2\.3": must be an IP address/],
    [
      ["--healthz-bind-address=here:1"],
      /--healthz-bind-address "here:1": must be an IP address .*0\.0\.0\.0:10256/,
    ],
    [["--metrics-bind-address=127.0.0.1:99999"], /--metrics-bind-address .*: must be .*a port \(1-65535\)/],
    [["--detect-local-mode=Guess"], /--detect-local-mode "Guess": must be one of ClusterCIDR/],
    [
      ["--detect-local-mode=BridgeInterface"],
      /--pod-bridge-interface "": must be the name of the pods' bridge/,
    ],
    [["--iptables-sync-period=5"], /--iptables-sync-period "5": must be a duration such as 30s/],
    [["--feature-gates=Foo"], /--feature-gates "Foo": must be Name=true or Name=false/],
    [["--config=/nowhere"], /--config \/nowhere: cannot be read: No such file/],
    [["--config=/etc/passwd"], /\/etc\/passwd: not a KubeProxyConfiguration/],
    [
      ["--nodeport-addresses=x", "--proxy-mode=y", "--cluster-cidr=z"],
      /3 settings are wrong/,
      /--nodeport-addresses/,
      /--proxy-mode/,
      /--cluster-cidr/,
    ],
  ];
  for (const [flags, ...message] of cases) {
    await t.step(flags.join(" "), async () => assertComplaint(await node.run(flags), ...message));
  }
  assert.equal(await node.ruleset(), "");
});

Deno.test("an unusable kubeconfig is one message that names the file and the field, and contains no secret", async (t) => {
  await using node = await Node.make();
  const kubeconfig = `${node.directory}/kubeconfig`;
  const cluster = "current-context: c\ncontexts: [{ name: c, context: { cluster: k, user: u } }]\n" +
    "clusters: [{ name: k, cluster: { server: https://127.0.0.1:6443 } }]\n";
  const cases: readonly (readonly [contents: string, ...message: RegExp[]])[] = [
    ["", /not a kubeconfig/],
    ["my-secret-token", /not a kubeconfig; it must be a mapping/],
    ["kind: [", /kubeconfig:1: /],
    ["kind: Pod", /kind: /],
    ["kind: Config", /current-context: is not set; kubectl config use-context NAME sets it/],
    ["current-context: a", /current-context: no context is named "a"/],
    [cluster, /context\.user: no user is named "u"/],
    [`${cluster}users: [{ name: u, user: my-secret-token }]`, /users\.0\.user: /],
    [
      `${cluster}users: [{ name: u, user: { client-certificate: my-secret } }]`,
      /client-key \(or client-key-data\) is missing/,
    ],
  ];
  for (const [contents, ...message] of cases) {
    await t.step(contents.split("\n").at(-1) ?? "", async () => {
      await Deno.writeTextFile(kubeconfig, contents);
      const finished = await node.run([`--kubeconfig=${kubeconfig}`, ...node.identity]);
      assertComplaint(finished, /kubeconfig .*\/kubeconfig:/, ...message);
      assert.doesNotMatch(finished.stderr, /secret/);
    });
  }
  await t.step("absent", async () => {
    const finished = await node.run(["--kubeconfig=/nowhere", ...node.identity]);
    assertComplaint(finished, /kubeconfig \/nowhere: No such file/);
  });
  await t.step("no kubeconfig and not in a pod", async () => {
    assertComplaint(
      await node.run(node.identity),
      /no API server: .*Give --kubeconfig FILE, or --manifests DIR/,
    );
  });
});

Deno.test("help and version are printed without side effects", async () => {
  await using node = await Node.make();
  const help = await node.run(["--help"]);
  assert.deepEqual([help.code, help.stderr], [0, ""]);
  assert.match(help.stdout, /--cluster-cidr/);
  const version = await node.run(["--version"]);
  assert.deepEqual([version.code, version.stderr], [0, ""]);
  assert.match(version.stdout, /^proxy \d+\.\d+\.\d+\n$/);
  assert.equal(await node.ruleset(), "");
});
