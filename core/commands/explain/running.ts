import type { ProxyConfig } from "../../config/config.ts";
import { formatListenAddress } from "../../config/document/listen_address.ts";
import type { Explanation, Finding } from "../../explain/explanation.ts";
import { findHolder, type LockHolder, proxyPidOf } from "../../node/lock_holder.ts";
import type { Status } from "../../observe/status/status.ts";
import { getJson } from "../local_http.ts";

/** The proxy that runs in this network namespace, as a command sees it. */
export interface RunningProxy {
  /** Undefined if none runs, or if its PID is not visible. */
  readonly pid: number | undefined;
  /** Whether there is one, and what it says of itself. */
  readonly findings: readonly Finding[];
}

/** @param lockName name of the lock that the proxy holds. */
export async function findRunningProxy(config: ProxyConfig, lockName: string): Promise<RunningProxy> {
  using holder = await findHolder(lockName);
  return { pid: proxyPidOf(holder), findings: await runningFindings(config, holder) };
}

async function runningFindings(
  config: ProxyConfig,
  holder: LockHolder | undefined,
): Promise<readonly Finding[]> {
  if (holder === undefined) {
    return [{
      cause: "proxy-not-running",
      severity: "problem",
      about: "this network namespace",
      text: "No proxy runs here. Rules that are in force do not follow the cluster any more.",
      advice:
        "Start it: systemctl start proxy, or find out why the pod does not run: kubectl -n kube-system " +
        "get pods -o wide",
    }];
  }
  const findings: Finding[] = [];
  const mode = holder.description?.mode;
  if (mode !== undefined && mode !== "" && mode !== config.mode.name) {
    findings.push({
      cause: "other-configuration",
      severity: "notice",
      about: `process ${holder.credentials.pid}`,
      text: `The proxy that runs is in mode ${mode}, and this command has the configuration of mode ` +
        `${config.mode.name}.`,
      advice: "Give the flags or the configuration file of the running proxy",
    });
  }
  if (config.metrics === undefined) return findings;
  try {
    const status = await getJson(config.metrics, "/api/v1/status") as Status;
    return [...findings, ...statusFindings(status)];
  } catch (error) {
    const address = formatListenAddress(config.metrics);
    return [...findings, {
      cause: "status-unknown",
      severity: "notice",
      about: address,
      text: `The proxy that runs cannot be asked at ${address}: ${
        error instanceof Error ? error.message : error
      }.`,
      advice: "Give the --metrics-bind-address of the running proxy",
    }];
  }
}

/** Leaves out rejected service ports that an explanation is not about. */
export function concerning(
  { subject, servicePorts }: Explanation,
  findings: readonly Finding[],
): readonly Finding[] {
  return findings.filter(({ cause, about }) => {
    if (cause !== "rejected-by-kernel") return true;
    const [service = ""] = about.split(":", 1);
    return servicePorts.some(({ name }) => name === about) || subject.split(/[ ,]/).includes(service);
  });
}

/** Findings in what the running proxy says of itself. */
export function* statusFindings({ source, health, errors, repairs, now }: Status): Generator<Finding> {
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
  const { rejections, sync } = errors;
  for (const { servicePort, reason, nextRetry } of rejections.first) {
    yield {
      cause: "rejected-by-kernel",
      severity: "problem",
      about: servicePort,
      text: `The kernel rejects it: ${reason}. The next attempt is at ${nextRetry}.`,
      advice: "Correct the Service, or see docs/troubleshooting.md for the message",
    };
  }
  if (sync !== undefined) {
    yield {
      cause: "sync-fails",
      severity: "problem",
      about: "the last sync",
      text: `It failed: ${sync.text}.`,
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
