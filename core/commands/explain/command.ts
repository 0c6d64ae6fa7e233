import type { ProxyConfig } from "../../config/config.ts";
import { flag } from "../../config/flags/flag.ts";
import { loadConfig } from "../../config/load.ts";
import { addressesOfClient, type AskedClient, parseClient } from "../../explain/asked_client.ts";
import { explain, familiesOf, problemsFirst, servicesOf } from "../../explain/explain.ts";
import type { Explanation, Finding } from "../../explain/explanation.ts";
import { kernelFindings } from "../../explain/node_findings.ts";
import { describePod, type FoundPod, PodSearch } from "../../explain/pod_client.ts";
import { type NoQuestion, parseQuestion, type Question, QUESTION_FORMS } from "../../explain/question.ts";
import type { Address } from "../../net/address.ts";
import { readKernelFacts } from "../../node/kernel_facts.ts";
import { describeRef } from "../../objects/parse/index.ts";
import { createLog, type Log } from "../../observe/log.ts";
import { UserError } from "../../user_error.ts";
import type { Command } from "../command.ts";
import { outputFlags, outputOf, printOutput } from "../output/output.ts";
import { type Cluster, readCluster } from "../cluster/read_cluster.ts";
import { ruleFindings } from "./kernel.ts";
import { addressesOfPod, findPod } from "./client.ts";
import { explainInForce, rejectionsOf } from "./in_force.ts";
import { knowledgeOf } from "./knowledge.ts";
import { findRunningProxy, type RunningProxy } from "./running.ts";
import { explanationText } from "./text.ts";

const flags = {
  from: flag(
    "string",
    "",
    "The client: an IP address, pod/NAMESPACE/NAME, NAMESPACE/SERVICE for one of its pods, or node for this node. " +
      "Without it, every kind of client.",
  ),
  ...outputFlags,
};

export const explainCommand: Command = {
  name: "explain",
  summary: "say why a service or an address does not answer",
  description: [
    `Takes ${QUESTION_FORMS}. Reads the objects from the source of the proxy (the API server or the directory of ` +
    "manifests), plans them as the proxy does, and walks a connection through the plan. Then it looks for what may be " +
    "wrong: in the objects, in the kernel of this node, and with the proxy that runs. Run it where the proxy runs, with " +
    "the same flags.",
  ],
  arguments: [{ name: "QUESTION", what: `a service or an address, ${QUESTION_FORMS}` }],
  flags,
  readsConfig: true,
  exitCodes: { 0: "no problem was found", 1: "a problem was found", 2: "an error: nothing can be said" },
  errorCode: 2,
  async perform({ words: [text = ""], commandLine, platform, terminal }) {
    const output = outputOf(commandLine);
    const question = parseQuestion(text);
    if ("problem" in question) throw new UserError(question.problem);
    const { from: fromText } = commandLine.valuesOf(flags);
    const from = checked(fromText, parseClient(fromText, question));
    const { config } = await loadConfig(commandLine, platform.modes, terminal);
    // Problems of the objects are findings; the log would repeat those of all other objects.
    const log = createLog({ ...config.logging, write() {} });
    const running = findRunningProxy(config, platform.lockName);
    const asked = { text, question, fromText, from };
    const explained = await explainFromSource(config, log, asked, running);
    const { pid, findings: ofProxy, ask } = await running;
    const findings = distinct([
      ...explained.findings,
      ...ofProxy,
      ...ask === undefined ? [] : await rejectionsOf(ask, servicesOf(explained, question)),
      ...kernelFindings(await readKernelFacts({ proxyPid: pid }), familiesOf(explained, question)),
    ]);
    const explanation: Explanation = { ...explained, findings: problemsFirst(findings) };
    await printOutput(explanation, output, terminal, (table) => explanationText(explanation, table));
    return findings.some(({ severity }) => severity === "problem") ? 1 : 0;
  },
};

/** Question of a command line. */
interface Asked {
  readonly text: string;
  readonly question: Question;
  /** Value of --from. */
  readonly fromText: string;
  readonly from: AskedClient;
}

/** Explains from what the source has. A source that cannot be read is a finding, because others may say why. */
async function explainFromSource(
  config: ProxyConfig,
  log: Log,
  asked: Asked,
  running: Promise<RunningProxy>,
): Promise<Explanation> {
  let cluster: Cluster;
  const { from, question } = asked;
  const search = from.is === "pod" ? new PodSearch(from.pod) : undefined;
  try {
    cluster = await readCluster(
      config,
      log,
      search === undefined ? {} : { read: (raw) => search.read(raw) },
    );
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    const finding: Finding = {
      cause: "source-unreadable",
      severity: "problem",
      about: "the source of objects",
      text: `${error.message}.`,
      advice:
        "Give the same source as the proxy (--kubeconfig, --config or --manifests), and make it reachable",
    };
    return { subject: asked.text, servicePorts: [], moreServicePorts: 0, walks: [], findings: [finding] };
  }
  const knowledge = knowledgeOf(cluster, config.mode);
  const pod = search && await findPod(config, log, search);
  let client: readonly Address[] | undefined;
  if (from.is !== "pod") client = checked(asked.fromText, addressesOfClient(from, question, knowledge));
  else if (pod !== undefined) client = addressesOfPod(question, from.pod, pod);
  const invalid = cluster.unused.filter(({ isInvalid }) => isInvalid).map(({ ref }) => describeRef(ref));
  const rules = await ruleFindings(config, cluster.desired, invalid, await running);
  const explanation = await explainInForce(
    await explain(knowledge, question, client),
    await running,
    asked.text,
    client,
  );
  return { ...explanation, findings: [...otherNode(config, search, pod), ...explanation.findings, ...rules] };
}

/** Leaves out what the running proxy and this command have both found. */
function distinct(findings: readonly Finding[]): readonly Finding[] {
  const keyOf = ({ cause, about, text }: Finding) => `${cause} ${about} ${text}`;
  return [...new Map(findings.toReversed().map((finding) => [keyOf(finding), finding])).values()]
    .toReversed();
}

/** @throws UserError if the text of --from has a problem. */
function checked<Parsed>(text: string, parsed: Parsed | NoQuestion): Parsed {
  if (isProblem(parsed)) throw new UserError(`--from ${JSON.stringify(text)}: ${parsed.problem}`);
  return parsed;
}

function isProblem(parsed: unknown): parsed is NoQuestion {
  return typeof parsed === "object" && parsed !== null && "problem" in parsed;
}

/** A finding if the pod runs elsewhere: its connections pass the rules of its own node first. */
function otherNode(
  { nodeName }: ProxyConfig,
  search: PodSearch | undefined,
  pod: FoundPod | undefined,
): readonly Finding[] {
  if (search === undefined || pod === undefined || pod.node === "" || pod.node === nodeName) return [];
  return [{
    cause: "client-on-another-node",
    severity: "notice",
    about: describePod(search.wanted),
    text: `It runs on node ${pod.node}. Its connections to services are sent to an endpoint there.`,
    advice: `Ask on node ${pod.node}`,
  }];
}
