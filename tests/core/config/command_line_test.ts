import assert from "node:assert/strict";
import { ebpfFlags } from "../../../backends/ebpf/flags.ts";
import { ipvsFlags } from "../../../backends/ipvs/flags.ts";
import { modes } from "../../../backends/registry.ts";
import { type CommandLine, parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { allFlags } from "../../../core/config/flags/table.ts";
import { valueTypes } from "../../../core/config/flags/flag_value.ts";
import { UserError } from "../../../core/user_error.ts";

function parse(args: readonly string[]): CommandLine {
  return parseCommandLine(args, modes);
}

function errorOf(...args: string[]): string {
  try {
    parse(args);
  } catch (error) {
    assert(error instanceof UserError);
    return error.message;
  }
  throw new assert.AssertionError({ message: `${args.join(" ")} was accepted` });
}

Deno.test("a value follows its flag with an equals sign or as the next argument", () => {
  assert.equal(parse(["--cluster-cidr=10.0.0.0/8"]).values["cluster-cidr"], "10.0.0.0/8");
  assert.equal(parse(["--cluster-cidr", "10.0.0.0/8"]).values["cluster-cidr"], "10.0.0.0/8");
  assert.equal(parse(["--master=a=b"]).values.master, "a=b");
});

Deno.test("a bool without a value is true, and never takes the next argument", () => {
  const { values, words } = parse(["--masquerade-all", "false"]);
  assert.equal(values["masquerade-all"], true);
  assert.deepEqual(words, ["false"]);
  assert.equal(parse(["--masquerade-all=F"]).values["masquerade-all"], false);
});

Deno.test("-v accepts its number in every syntax of pflag", () => {
  for (const args of [["-v", "4"], ["-v=4"], ["-v4"], ["--v", "4"], ["--v=4"]]) {
    assert.equal(parse(args).values.v, 4, args.join(" "));
  }
  assert.equal(parse(["-h"]).values.help, true);
});

Deno.test("underscores stand for dashes in the name of a flag", () => {
  assert.equal(parse(["--proxy_mode=nftables"]).values["proxy-mode"], "nftables");
});

Deno.test("repeated lists and maps add up, and of other repeated flags the last one counts", () => {
  const { values } = parse([
    "--nodeport-addresses=10.0.0.0/8,primary",
    "--nodeport-addresses=localhost",
    "--feature-gates=A=true",
    "--feature-gates=B=false,A=false",
    "--v=1",
    "--v=3",
  ]);
  assert.deepEqual(values["nodeport-addresses"], ["10.0.0.0/8", "primary", "localhost"]);
  assert.deepEqual(values["feature-gates"], { A: false, B: false });
  assert.equal(values.v, 3);
});

Deno.test("two dashes end the flags, and empty arguments are skipped", () => {
  assert.deepEqual(parse(["", "--", "--cleanup"]).words, ["--cleanup"]);
});

Deno.test("a flag that is given with its default value counts as given", () => {
  const { given, values, valuesOf } = parse(["--iptables-sync-period=30s"]);
  assert.deepEqual([...given], ["iptables-sync-period"]);
  assert.equal(values["iptables-sync-period"], valuesOf(ipvsFlags)["ipvs-sync-period"]);
});

Deno.test("an unknown flag names the nearest known one", () => {
  assert.equal(
    errorOf("--cluster-cdir=10.0.0.0/8"),
    "unknown flag --cluster-cdir: did you mean --cluster-cidr? (see proxy --help)",
  );
  assert.equal(errorOf("-config"), "unknown flag -config: did you mean --config? (see proxy --help)");
  assert.equal(
    errorOf("-version"),
    "unknown flag -version: did you mean --version? (see proxy --help)",
  );
  assert.equal(errorOf("--windows-service"), "unknown flag --windows-service (see proxy --help)");
  assert.match(errorOf("--constructor"), /^unknown flag --constructor/);
});

Deno.test("the error about a value of the wrong type names the flag, the value and the allowed values", () => {
  const cases: Record<string, string> = {
    "--iptables-sync-period=5": '--iptables-sync-period "5": must be a duration such as 30s, 1m30s or 100ms',
    "--masquerade-all=maybe": '--masquerade-all "maybe": must be true or false',
    "--oom-score-adj=1.5": '--oom-score-adj "1.5": must be a whole number of at most 32 bits',
    "--conntrack-min=4294967296": '--conntrack-min "4294967296": must be a whole number of at most 32 bits',
    "--bind-address=nowhere": '--bind-address "nowhere": must be an IP address',
    "--healthz-bind-address=a:1":
      '--healthz-bind-address "a:1": must be an IP address with or without a port, such as 0.0.0.0:10256 or [::]:10256',
    "--feature-gates=A": '--feature-gates "A": must be Name=true or Name=false, separated by commas',
    "--kube-api-qps=many": '--kube-api-qps "many": must be a number',
    "--v=x": '--v "x": must be a whole number of at most 32 bits',
  };
  for (const [arg, message] of Object.entries(cases)) assert.equal(errorOf(arg), message);
  assert.equal(errorOf("--config"), "--config needs a value");
});

Deno.test("the default of every flag is a value of its type", () => {
  for (const [name, flag] of Object.entries(allFlags(modes))) {
    const { type, default: value } = flag;
    if (typeof value === "object") continue;
    assert.equal(valueTypes[type].parse(String(value)), value, name);
  }
});

Deno.test("the old name of a flag sets its value unless the new name is given, too", () => {
  const maxClients = (...args: readonly string[]) => parse(args).valuesOf(ebpfFlags)["ebpf-max-clients"];
  assert.equal(maxClients(), 65536);
  assert.equal(maxClients("--ebpf-most-clients=7"), 7);
  assert.equal(maxClients("--ebpf-max-clients=8", "--ebpf-most-clients=7"), 8);
  assert.equal(maxClients("--ebpf-most-clients=7", "--ebpf-max-clients=8"), 8);
});

Deno.test("a flag with a value of its own when bare takes another one only after the equals sign", () => {
  assert.equal(parse([]).values["wait-for-lock"], "0s");
  const bare = parse(["--wait-for-lock", "check"]);
  assert.deepEqual([bare.values["wait-for-lock"], bare.words], ["2562047h0m0s", ["check"]]);
  assert.equal(parse(["--wait-for-lock=30s"]).values["wait-for-lock"], "30s");
  assert.match(errorOf("--wait-for-lock=long"), /must be a duration/);
});

Deno.test("--version takes the values of kube-proxy", () => {
  const version = (...args: string[]) => parse(args).values.version;
  assert.equal(version(), "false");
  assert.equal(version("--version"), "true");
  assert.equal(version("--version=T"), "true");
  assert.equal(version("--version=raw"), "raw");
  assert.equal(version("--version=v1.37.1"), "v1.37.1");
  assert.match(errorOf("--version=1.37"), /must be true, false, raw or a version such as v1\.37\.1/);
});

Deno.test("flags that kube-proxy had in earlier releases are accepted, also with underscores", () => {
  assert.deepEqual(parse(["--logtostderr", "--log_dir=/var/log", "--stderrthreshold", "2"]).words, []);
});
