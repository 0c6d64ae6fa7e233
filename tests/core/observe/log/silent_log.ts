import type { Log } from "../../../../core/observe/log.ts";

/** Drops everything. */
export const silentLog: Log = { error() {}, warn() {}, info() {} };
