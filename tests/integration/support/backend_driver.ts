import { createInterface } from "node:readline";
import { argv, env, stdin } from "node:process";
import type { Backend, PlanChange } from "../../../core/backend/contract.ts";
import { withBackendErrors } from "../../../backends/backend_errors.ts";
import { EbpfBackend } from "../../../backends/ebpf/backend.ts";
import { IptablesBackend } from "../../../backends/iptables/backend.ts";
import { IpvsBackend } from "../../../backends/ipvs/backend.ts";
import { NftablesBackend } from "../../../backends/nftables/backend.ts";
import { UserspaceBackend } from "../../../backends/userspace/backend.ts";
import { Relay } from "../../../backends/userspace/relay.ts";
import type { NodeSettings, PlanKey, ServicePortPlan } from "../../../core/plan/plan.ts";
import { smallOptions } from "../../backends/ebpf/options.ts";
import { defaultOptions } from "../../backends/ipvs/options.ts";
import { userspaceOptions } from "../../backends/userspace/fake_relay.ts";

/**
 * Runs the backend of the mode in the arguments in the current network namespace, driven by one JSON object per line. A
 * namespace belongs to a process, so the tests cannot call the backend directly. Prints one line per answer and per
 * foreign change.
 */
export type Command =
  | {
    readonly do: "reconcile";
    readonly settings: readonly NodeSettings[];
    readonly plans: readonly ServicePortPlan[];
  }
  | { readonly do: "apply"; readonly changes: readonly PlanChange[] }
  | { readonly do: "watch" | "unwatch" | "cleanup" | "probe" | "metrics" | "traffic" };

export type Answer =
  | { readonly done: unknown; readonly milliseconds: number }
  | { readonly refused: string; readonly rejectedKeys: readonly string[] }
  | { readonly foreign: string };

if (import.meta.main) await drive();

async function drive(): Promise<void> {
  using backend = backendOf(argv[2]);
  const watch: { current?: Disposable | undefined } = {};
  const inForce = new Map<PlanKey, ServicePortPlan>();
  for await (const line of createInterface({ input: stdin })) {
    const started = performance.now();
    try {
      const done = await perform(backend, JSON.parse(line), watch, inForce);
      say({ done: done ?? null, milliseconds: performance.now() - started });
    } catch (error) {
      if (!(error instanceof Error)) throw error;
      say({
        refused: error.message,
        rejectedKeys: "rejectedKeys" in error ? error.rejectedKeys as string[] : [],
      });
    }
  }
  watch.current?.[Symbol.dispose]();
}

function backendOf(wanted: string | undefined): Backend {
  const ebpf = { ...smallOptions, ...JSON.parse(env["EBPF_OPTIONS"] ?? "{}") };
  const backends: readonly Backend[] = [
    new NftablesBackend(),
    new IptablesBackend(),
    new IpvsBackend(defaultOptions),
    new EbpfBackend(ebpf),
    new UserspaceBackend(userspaceOptions, Relay.start),
  ];
  const backend = backends.find(({ mode }) => mode === wanted);
  if (backend === undefined) throw new Error(`${wanted} is no mode`);
  return withBackendErrors(backend);
}

async function perform(
  backend: Backend,
  command: Command,
  watch: { current?: Disposable | undefined },
  inForce: Map<PlanKey, ServicePortPlan>,
): Promise<unknown> {
  switch (command.do) {
    case "reconcile": {
      const plans = new Map(command.plans.map((plan) => [plan.key, plan]));
      const report = await backend.reconcile({ settings: command.settings, plans });
      inForce.clear();
      for (const [key, plan] of plans) inForce.set(key, plan);
      return report;
    }
    case "apply":
      await backend.apply(command.changes);
      for (const { key, new: plan } of command.changes) {
        if (plan === undefined) inForce.delete(key);
        else inForce.set(key, plan);
      }
      return;
    case "traffic":
      return await backend.traffic?.(inForce);
    case "watch":
      watch.current = backend.watch((what) => say({ foreign: what }));
      return;
    case "unwatch":
      watch.current?.[Symbol.dispose]();
      watch.current = undefined;
      return;
    case "cleanup":
      return await backend.cleanup();
    case "probe":
      return await backend.probe();
    case "metrics":
      return await backend.metrics?.() ?? [];
  }
}

function say(answer: Answer): void {
  console.log(JSON.stringify(answer));
}
