import "../connection/open_libraries.ts";
import { ApiSource } from "../../../../core/kube/api/api.ts";
import type { WatchObserver } from "../../../../core/kube/api/reflector.ts";
import type { ApiTiming } from "../../../../core/kube/api/timing.ts";
import { anonymous, type ClusterAccess } from "../../../../core/kube/access/cluster_access.ts";
import { ApiServer } from "./api_server.ts";
import { rawNode, rawService, rawServiceCidr, rawSlice } from "../raw_objects.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { RecordingSink } from "../recording_sink.ts";

/** Timeouts for tests that wait for one. The others use longer ones, so that a busy machine does not cause any. */
export const impatient = { answerMs: 200, maxAnswerMs: 400, listSilenceMs: 200, watchSilenceMs: 300 };

/** API_TIMING with retries a few hundred times as fast. */
const fast: ApiTiming = {
  answerMs: 10_000,
  maxAnswerMs: 20_000,
  listSilenceMs: 10_000,
  watchSilenceMs: 10_000,
  quietConnectionMs: 60_000,
  checkAnswerMs: 60_000,
  minWatchMs: 300_000,
  maxWatchMs: 600_000,
  firstRetryMs: 5,
  maxRetryMs: 50,
  fileMs: 10_000,
  pluginMs: 10_000,
  unavailableRetryMs: 100,
};

export interface Setup {
  readonly server: ApiServer;
  readonly sink: RecordingSink;
  readonly log: RecordingLog;
  readonly source: ApiSource;
}

export function accessTo(server: ApiServer, more: Partial<ClusterAccess> = {}): ClusterAccess {
  return {
    origin: "a test",
    server: new URL(server.url),
    authority: undefined,
    tlsServerName: "",
    isInsecure: false,
    proxyUrl: "",
    user: anonymous,
    ...more,
  };
}

/** Runs a test with a server that `prepare` set up and a source that reads from it. */
export async function withSource(
  prepare: (server: ApiServer) => void,
  test: (setup: Setup) => Promise<void>,
  options: {
    access?: Partial<ClusterAccess>;
    timing?: Partial<ApiTiming>;
    server?: ApiServer;
    watchServiceCidrs?: boolean;
    watches?: WatchObserver;
  } = {},
): Promise<void> {
  await using server = options.server ?? new ApiServer();
  prepare(server);
  const sink = new RecordingSink();
  const log = new RecordingLog();
  const source = new ApiSource({
    access: accessTo(server, options.access),
    nodeName: "n1",
    watchServiceCidrs: options.watchServiceCidrs ?? true,
    userAgent: "proxy/1.2.3",
    log,
    timing: { ...fast, ...options.timing },
    ...(options.watches === undefined ? {} : { watches: options.watches }),
  });
  const stop = new AbortController();
  const running = source.run(sink, stop.signal);
  try {
    await test({ server, sink, log, source });
  } finally {
    stop.abort();
    await running;
  }
}

export const web = rawService("web");
export const webSlice = rawSlice("web-1", "web", ["10.0.0.1", "10.0.0.2"]);
export const everything = (server: ApiServer) =>
  server.put(web, webSlice, rawNode("n1"), rawNode("n2"), rawServiceCidr("kubernetes", "10.96.0.0/16"));
export const allNames = [
  "EndpointSlice default/web-1",
  "Node n1",
  "Service default/web",
  "ServiceCIDR kubernetes",
];

export const pause = (milliseconds: number) => new Promise((resolve) => setTimeout(resolve, milliseconds));
export const deletes = (sink: RecordingSink) => sink.calls.filter((call) => call.startsWith("delete"));
