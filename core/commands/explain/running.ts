import type { ProxyConfig } from "../../config/config.ts";
import { formatListenAddress } from "../../config/document/listen_address.ts";
import type { Finding } from "../../explain/explanation.ts";
import { listed } from "../../explain/listed.ts";
import { findHolder, type LockHolder, proxyPidOf } from "../../node/lock_holder.ts";
import { isMapping } from "../../objects/parse/fields.ts";
import type { RejectionStatus } from "../../observe/status/in_force.ts";
import type { Status } from "../../observe/status/status.ts";
import { VERSION } from "../../version.ts";
import { getJson } from "../local_http.ts";
import { differingSettings } from "./settings.ts";

/** The proxy in this network namespace, as a command sees it. */
export interface RunningProxy {
  /** Undefined if none runs, or if its PID is not visible. */
  readonly pid: number | undefined;
  /** Whether there is one, and what it says of itself. */
  readonly findings: readonly Finding[];
  /** True if it runs with other settings than this command has, so that it programs other rules. */
  readonly isDifferent: boolean;
  /** Asks its API, by the path after /api/v1/; undefined if it does not answer. */
  readonly ask: Ask | undefined;
}

/** @throws Error that says why there is no answer. */
export type Ask = <Answer>(path: string) => Promise<Answer>;

/** @param lockName name of the lock that the proxy holds. */
export async function findRunningProxy(
  config: Pick<ProxyConfig, "metrics" | "mode" | "modes" | "nodeName" | "document">,
  lockName: string,
): Promise<RunningProxy> {
  using holder = await findHolder(lockName);
  if (holder === undefined) return NOT_RUNNING;
  const pid = proxyPidOf(holder);
  const mode = holder.description?.mode ?? "";
  const otherMode = mode === "" || mode === config.mode.name ? [] : [describeMode(mode, config)];
  const { metrics } = config;
  const others = (differences: readonly string[]) => otherConfiguration(holder, differences);
  if (metrics === undefined) {
    return { pid, findings: others(otherMode), isDifferent: otherMode.length > 0, ask: undefined };
  }
  const ask: Ask = async <Answer>(path: string) => await getJson(metrics, `/api/v1/${path}`) as Answer;
  try {
    const status = await ask<Status>("status");
    const configz = await getJson(metrics, "/configz");
    const document = isMapping(configz) ? configz["kubeproxy.config.k8s.io"] : undefined;
    // The defaults of other settings follow from the mode.
    const settings = status.mode === config.mode.name ? differingSettings(config, document) : [];
    const differences = [...differencesTo(status, config), ...settings];
    return {
      pid,
      findings: [...others(differences), ...statusFindings(status)],
      isDifferent: differences.length > 0,
      ask,
    };
  } catch (error) {
    const unknown: Finding = {
      cause: "status-unknown",
      severity: "notice",
      about: formatListenAddress(metrics),
      text: `The proxy that runs cannot be asked at ${formatListenAddress(metrics)}: ${
        error instanceof Error ? error.message : error
      }.`,
      advice: "Give the --metrics-bind-address of the running proxy",
    };
    return {
      pid,
      findings: [...others(otherMode), unknown],
      isDifferent: otherMode.length > 0,
      ask: undefined,
    };
  }
}

const NOT_RUNNING: RunningProxy = {
  pid: undefined,
  isDifferent: false,
  ask: undefined,
  findings: [{
    cause: "proxy-not-running",
    severity: "problem",
    about: "this network namespace",
    text: "No proxy runs here. Rules that are in force do not follow the cluster any more.",
    advice: "Start it: systemctl start proxy, or find out why the pod does not run: kubectl -n kube-system " +
      "get pods -o wide",
  }],
};

function describeMode(mode: string, config: Pick<ProxyConfig, "mode">): string {
  return `mode is ${JSON.stringify(mode)} there and ${JSON.stringify(config.mode.name)} here`;
}

/** Differences that are not in the document of the configuration. */
function* differencesTo(
  { version, mode, node }: Status,
  config: Pick<ProxyConfig, "mode" | "nodeName">,
): Generator<string> {
  if (version !== VERSION) {
    yield `the version is ${JSON.stringify(version)} there and ${JSON.stringify(VERSION)} here`;
  }
  if (mode !== config.mode.name) yield describeMode(mode, config);
  if (node !== config.nodeName) {
    yield `the node is ${JSON.stringify(node)} there and ${JSON.stringify(config.nodeName)} here`;
  }
}

function otherConfiguration(holder: LockHolder, differences: readonly string[]): readonly Finding[] {
  if (differences.length === 0) return [];
  const { credentials: { pid }, commandLine } = holder;
  return [{
    cause: "other-configuration",
    severity: "notice",
    about: pid === 0 ? "the running proxy" : `process ${pid}`,
    text:
      `The proxy that runs has other settings than this command: ${
        listed(differences)
      }. What is said here follows ` +
      "the settings of this command, and the rules in the kernel are not compared with them.",
    advice: "Give the flags or the configuration file of the running proxy" +
      (commandLine === "" ? "" : `: ${commandLine.slice(0, MAX_COMMAND_LINE)}`),
  }];
}

/** Length of a command line in a message. */
const MAX_COMMAND_LINE = 400;

/** Findings in what the running proxy says of itself as a whole. */
export function* statusFindings(
  { source, health, errors, repairs, now }: Pick<Status, "source" | "health" | "errors" | "repairs" | "now">,
): Generator<Finding> {
  if (!source.connected) {
    yield {
      cause: "source-lost",
      severity: "problem",
      about: source.kind,
      text:
        `The proxy has had no contact with its source of objects since ${source.lostAt ?? "its start"}. ` +
        "What was in force then stays in force.",
      advice: "Look for the reason in its log (API server unreachable, certificate, permissions)",
    };
  }
  if (errors.sync !== undefined) {
    yield {
      cause: "sync-fails",
      severity: "problem",
      about: "the last sync",
      text: `It failed: ${errors.sync.text}.`,
      advice: "See docs/troubleshooting.md for the message",
    };
  } else if (!health.healthy) {
    yield {
      cause: "unhealthy",
      severity: "problem",
      about: "the running proxy",
      text: "Changes have not been put in force for longer than they should be.",
      advice: "Look for the reason in its log",
    };
  }
  const last = repairs.last[0];
  if (last !== undefined && Date.parse(now) - Date.parse(last.at) < RECENT_MS) {
    yield {
      cause: "foreign-changes",
      severity: "notice",
      about: "the rules in the kernel",
      text: `Another program changes them, and the proxy repairs them: ${last.text}.`,
      advice: "Configure the program to leave them alone. If it is another proxy, stop it: one in another " +
        "container is not visible here",
    };
  }
}

const RECENT_MS = 60_000;

/** Findings about service ports that the kernel rejects. */
export function rejectionFindings(rejections: readonly RejectionStatus[]): readonly Finding[] {
  return rejections.map(({ servicePort, reason, nextRetry }) => ({
    cause: "rejected-by-kernel",
    severity: "problem",
    about: servicePort,
    text:
      `The kernel rejects it: ${reason}. The version before stays in force, if there was one. The next attempt is ` +
      `at ${nextRetry}.`,
    advice: "Correct the Service, or see docs/troubleshooting.md for the message",
  }));
}
