import assert from "node:assert/strict";
import { commands } from "../../../core/commands/table.ts";
import { proxyBinary } from "../../lab/proxy.ts";
import { run } from "../support/network_namespace.ts";

const project = new URL("../../../", import.meta.url).pathname;

await run(`${project}scripts/setup.sh`, "package");

/** Writes the script of a shell to a file, and completes command lines with it. */
async function withScript(
  shell: string,
  test: (script: string, directory: string) => Promise<void>,
): Promise<void> {
  const directory = await Deno.makeTempDir();
  try {
    const script = `${directory}/script`;
    await Deno.writeTextFile(script, await run(proxyBinary, "completion", shell));
    await Deno.mkdir(`${directory}/manifests`);
    await Deno.writeTextFile(`${directory}/config.conf`, "");
    await test(script, directory);
  } finally {
    await Deno.remove(directory, { recursive: true });
  }
}

Deno.test("bash completes commands, flags and their values", async () => {
  await withScript("bash", async (script, directory) => {
    const complete = async (...words: readonly string[]) => {
      const body = `cd ${directory}; source ${script}; complete -p proxy >/dev/null; COMP_WORDS=("$@"); ` +
        'COMP_CWORD=$(($# - 1)); _proxy; echo "${COMPREPLY[*]}"';
      return (await run("bash", "--norc", "-c", body, "bash", ...words)).trim();
    };
    assert.equal(await complete("proxy", ""), commands.map(({ name }) => name).join(" "));
    assert.equal(await complete("proxy", "che"), "check");
    assert.equal(await complete("proxy", "completion", ""), "bash zsh fish");
    assert.equal(await complete("proxy", "help", "che"), "check");
    assert.equal(await complete("proxy", "check", ""), "");
    assert.equal(await complete("proxy", "check", "--outp"), "--output");
    assert.equal(await complete("proxy", "check", "-o", ""), "table json yaml");
    assert.equal(await complete("proxy", "check", "--output", "=", "y"), "yaml");
    assert.equal(await complete("proxy", "--outp"), "", "a flag of a command that is not on the line");
    assert.equal(await complete("proxy", "check", "--proxy-m"), "--proxy-mode");
    assert.equal(await complete("proxy", "--proxy-mode", "ip"), "iptables ipvs");
    assert.equal(await complete("proxy", "--proxy-mode", "="), "nftables iptables ipvs ebpf userspace auto");
    assert.equal(await complete("proxy", "--proxy-mode", "=", "eb"), "ebpf");
    assert.equal(await complete("proxy", "--config", "con"), "config.conf");
    assert.equal(await complete("proxy", "--manifests", "=", ""), "manifests");
    assert.equal(await complete("proxy", "--cluster-cidr", ""), "", "a value that nobody can guess");
    assert.equal(await complete("proxy", "--wait-for-lock", "che"), "check", "its value comes after =");
    assert.doesNotMatch(await complete("proxy", "--"), /healthz-port/, "deprecated");
  });
});

Deno.test("fish completes commands, flags and their values, with explanations", async () => {
  await withScript("fish", async (script, directory) => {
    const complete = async (line: string) => {
      const body = `cd ${directory}; source ${script}; complete -C ${JSON.stringify(line)}`;
      const lines = (await run("fish", "--no-config", "-c", body)).trim().split("\n");
      return lines.map((one) => one.replace("\t", ": "));
    };
    assert.deepEqual(await complete("proxy vers"), ["version: print the version"]);
    assert.deepEqual((await complete("proxy completion ")).sort(), ["bash", "fish", "zsh"]);
    const words = async (line: string) => (await complete(line)).map((one) => one.replace(/: .*/, ""));
    assert.deepEqual(await words("proxy check --proxy-mode ip"), ["iptables", "ipvs"]);
    assert.deepEqual(await words("proxy check --output=y"), ["--output=yaml"]);
    assert.deepEqual(await words("proxy check -o j"), ["json"]);
    assert.deepEqual(await words("proxy --outp"), [""]);
    assert.deepEqual(await words("proxy --proxy-mode=eb"), ["--proxy-mode=ebpf"]);
    assert.deepEqual(await words("proxy --config con"), ["config.conf"]);
    assert.deepEqual(await words("proxy --manifests m"), ["manifests/"]);
    assert.deepEqual(await complete("proxy --cleanu"), [
      "--cleanup: Remove everything that any mode of this proxy or of kube-proxy programmed in the kernel, and exit",
    ]);
  });
});

Deno.test("zsh completes commands, flags and their values", async () => {
  await withScript("zsh", async (script, directory) => {
    const complete = async (line: string) => {
      const program = `${project}tests/integration/cli/support/complete.zsh`;
      return (await run("zsh", "-f", "-c", `cd ${directory}; . ${program}`, "zsh", script, line)).trim();
    };
    assert.equal(await complete("proxy vers"), "version");
    assert.equal(await complete("proxy completion f"), "completion fish");
    assert.equal(await complete("proxy check --proxy-m"), "check --proxy-mode");
    assert.equal(await complete("proxy help vers"), "help version");
    assert.equal(await complete("proxy check --output=y"), "check --output=yaml");
    assert.equal(await complete("proxy check -o ta"), "check -o table");
    assert.equal(await complete("proxy --proxy-mode eb"), "--proxy-mode ebpf");
    assert.equal(await complete("proxy --logging-format=j"), "--logging-format=json");
    assert.equal(await complete("proxy --config=con"), "--config=config.conf");
    assert.equal(await complete("proxy --manifests m"), "--manifests manifests");
  });
});
