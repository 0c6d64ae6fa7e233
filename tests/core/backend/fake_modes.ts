import type { Backend } from "../../../core/backend/contract.ts";
import type { Platform } from "../../../core/commands/platform.ts";
import { defaultDocument } from "../../../core/config/document/document.ts";
import { FieldReader } from "../../../core/config/document/field_reader.ts";
import { parseCommandLine } from "../../../core/config/flags/command_line.ts";
import { type ConfiguredMode, defineMode, type Mode, type ModeTraits } from "../../../core/backend/mode.ts";

/** The mode with another backend. */
export function withBackend(mode: Mode, create: () => Backend): Mode {
  return { ...mode, configure: (source) => ({ ...mode.configure(source), create }) };
}

/** A platform that changes nothing on this machine. */
export const fakePlatform: Omit<Platform, "modes"> = {
  lockName: `proxy-test/${crypto.randomUUID()}`,
  createConntrackReconciler: () => ({ synced() {}, [Symbol.dispose]() {} }),
  setConntrackSysctls: () => {},
  setOomScoreAdj: () => {},
};

/** Traits of a mode that needs nothing. */
export const plainTraits: Omit<ModeTraits, "name"> = {
  isAutomatic: true,
  flags: {},
  planning: {
    endsTcpConnections: false,
    listsInterfaceAddresses: false,
    defaultNodePortAddresses: "all",
    localhostNodePorts: false,
  },
  sections: { periods: "nftables", masquerade: "nftables" },
  failureMetrics: [],
};

/** A mode without options. */
export function plainMode(name: string, create: () => Backend): Mode {
  return defineMode({ name, ...plainTraits, readOptions: () => undefined, create });
}

/** The mode with its default options. */
export function configured(mode: Mode): ConfiguredMode {
  return mode.configure({
    document: defaultDocument(),
    valuesOf: parseCommandLine([], [mode]).valuesOf,
    conntrackTimeouts: {
      tcpEstablishedTimeoutMs: 0,
      tcpCloseWaitTimeoutMs: 0,
      udpTimeoutMs: 0,
      udpStreamTimeoutMs: 0,
    },
    read: new FieldReader((field) => field),
  });
}
