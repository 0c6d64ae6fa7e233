import { BackendError } from "../../../core/backend/contract.ts";
import { KernelError } from "../../../ffi/errors.ts";
import { rejectionError } from "../../../ffi/netlink/exchange.ts";
import { IPS_DST_NAT } from "../../conntrack/ctnetlink.ts";
import { sweepConntrack } from "../../conntrack/table.ts";
import { type ExplainRejection, NfTables } from "../../nf_tables/connection.ts";
import { NF_ACCEPT, NF_INET_POST_ROUTING, NF_IP_PRI_NAT_SRC } from "../../nf_tables/constants.ts";
import { TABLE_FAMILIES, type TableFamily } from "../../nf_tables/families.ts";
import type { OpenNetlink } from "../../../ffi/netlink/transport.ts";
import { verdict } from "../../nf_tables/expressions.ts";
import { baseChain, isDnated, rule } from "../../nf_tables/rules.ts";
import type { EntryMap } from "../maps/kernel_maps.ts";
import { SETTING } from "../maps/layout.ts";
import { changeFlags } from "../maps/node_settings.ts";
import { FAMILY_NUMBERS } from "../../protocol_numbers.ts";

/** Interval at which the table is removed if no flow needs it any more. */
const CHECK_MS = 60_000;

const TABLE = {
  name: "proxy-ebpf",
  comment: "lets netfilter translate the connections that are older than mode ebpf",
};
/** Its rule does nothing, but connection tracking runs only for chains whose rules use it. */
const CHAIN = baseChain(
  "nat",
  "nat",
  NF_INET_POST_ROUTING,
  NF_IP_PRI_NAT_SRC,
  rule(isDnated(), [verdict(NF_ACCEPT)]),
);

/**
 * Flows that began in another mode, whose packets the programs leave to netfilter (bpf/flows/netfilter.h). Netfilter
 * translates them only while a chain of type nat exists. When those of the other mode are removed, a chain in a table of
 * its own takes their place until no such flow is left.
 */
export class FormerFlows implements Disposable {
  readonly #kernel = new NfTables();
  readonly #nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">;
  #timer: number | undefined;
  #mayExist = true;

  /** @param nodeSettings map whose SETTING_FORMER_FLOWS tells the programs. */
  constructor(nodeSettings: Pick<EntryMap, "shape" | "lookup" | "update">) {
    this.#nodeSettings = nodeSettings;
  }

  /** SETTING_FORMER_FLOWS, or 0. */
  get flag(): number {
    return this.#mayExist ? SETTING.FORMER_FLOWS : 0;
  }

  /**
   * Adds the table if there are translated flows, and removes it if there are none.
   * @returns a warning if that failed; otherwise "".
   */
  async keep(): Promise<string> {
    clearTimeout(this.#timer);
    const problems: string[] = [];
    this.#mayExist = false;
    for (const family of TABLE_FAMILIES) {
      try {
        const hasFlows = await hasTranslatedFlows(family);
        if (hasFlows) await this.#addTable(family);
        else await removeTable(this.#kernel, family);
        this.#mayExist ||= hasFlows;
      } catch (error) {
        if (!isRejection(error)) throw error;
        problems.push(error.message);
      }
    }
    changeFlags(this.#nodeSettings, this.#mayExist ? { set: this.flag } : { clear: SETTING.FORMER_FLOWS });
    if (this.#mayExist) this.#timer = setTimeout(() => void this.keep(), CHECK_MS);
    return problems.length === 0
      ? ""
      : `connections that began in another mode may end with its rules: ${problems.join("; ")}`;
  }

  [Symbol.dispose](): void {
    clearTimeout(this.#timer);
    this.#kernel[Symbol.dispose]();
  }

  async #addTable(family: TableFamily): Promise<void> {
    const batch = this.#kernel.beginTable(TABLE);
    // Replaced, because a rule that exists would be added again.
    batch.removeTable(family);
    batch.addTable(family);
    batch.addChain(family, CHAIN);
    batch.addRules(family, CHAIN);
    await this.#kernel.commit(batch, rejected(`add table ${family.keyword} ${TABLE.name}`));
  }
}

/**
 * Removes the table. A missing one is no error.
 * @param open the seam for tests.
 * @throws KernelError
 */
export async function removeFormerFlowsTable(open?: OpenNetlink): Promise<void> {
  using kernel = new NfTables(open);
  for (const family of TABLE_FAMILIES) await removeTable(kernel, family);
}

async function removeTable(kernel: NfTables, family: TableFamily): Promise<void> {
  if (!(await kernel.familiesOf(TABLE.name)).includes(family)) return;
  const batch = kernel.beginTable(TABLE);
  batch.removeTable(family);
  await kernel.commit(batch, rejected(`remove table ${family.keyword} ${TABLE.name}`));
}

async function hasTranslatedFlows({ family }: TableFamily): Promise<boolean> {
  const status = { mask: IPS_DST_NAT, value: IPS_DST_NAT };
  const { examined } = await sweepConntrack({ family: FAMILY_NUMBERS[family], status }, () => false);
  return examined > 0;
}

function rejected(operation: string): ExplainRejection {
  return (_batch, answer) => rejectionError(operation, answer);
}

function isRejection(error: unknown): error is Error {
  return error instanceof KernelError || error instanceof BackendError;
}
