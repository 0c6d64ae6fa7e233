import { cpuProfile, heapSnapshot } from "../profiler.ts";
import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { text } from "./text.ts";

/** The time to make an answer is 30 s. */
const MAX_SECONDS = 25;
const DEFAULT_SECONDS = 10;

const INDEX = `/debug/pprof/

profile   what the process does in ${DEFAULT_SECONDS} s, or in ?seconds=N up to ${MAX_SECONDS}: save it as NAME.cpuprofile
heap      all objects in memory: save it as NAME.heapsnapshot. The process stands still meanwhile

Both are in the formats of V8; open them with the developer tools of Chrome or with speedscope.
`;

/**
 * Routes at the paths of kube-proxy's profiles, with those that V8 can make. One profile is made at a time.
 */
export function profilingRoutes(): Readonly<Record<string, Route>> {
  let isBusy = false;
  const exclusively = (profile: (request: HttpRequest) => Promise<Response>): Route => async (request) => {
    if (isBusy) return text("another profile is being made; try again later\n", 503);
    isBusy = true;
    try {
      return await profile(request);
    } finally {
      isBusy = false;
    }
  };
  const goOnly = (name: string): [string, Route] => [
    `/debug/pprof/${name}`,
    () => text(`${name}: only a Go program has this profile; see /debug/pprof/\n`, 404),
  ];
  return {
    "/debug/pprof": () => new Response(null, { status: 302, headers: { location: "/debug/pprof/" } }),
    "/debug/pprof/": () => text(INDEX),
    "/debug/pprof/profile": exclusively(async ({ query }) => {
      const seconds = secondsOf(query);
      if (seconds === undefined) {
        return text(`seconds: must be a number above 0, and at most ${MAX_SECONDS}\n`, 400);
      }
      return download(await cpuProfile(seconds * 1000), "proxy.cpuprofile");
    }),
    "/debug/pprof/heap": exclusively(async () => download(await heapSnapshot(), "proxy.heapsnapshot")),
    ...Object.fromEntries(
      ["allocs", "block", "goroutine", "mutex", "symbol", "threadcreate", "trace"].map(goOnly),
    ),
  };
}

function secondsOf(query: string): number | undefined {
  const seconds = Number(new URLSearchParams(query).get("seconds") ?? DEFAULT_SECONDS);
  return seconds > 0 && seconds <= MAX_SECONDS ? seconds : undefined;
}

function download(body: string, name: string): Response {
  return new Response(body, {
    headers: { "content-type": "application/json", "content-disposition": `attachment; filename="${name}"` },
  });
}
