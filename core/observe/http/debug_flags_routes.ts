import type { HttpRequest } from "./request.ts";
import type { Route } from "./server.ts";
import { text } from "./text.ts";

/** Largest verbosity: a 32-bit number, as klog has it. */
const MAX_VERBOSITY = 2 ** 31 - 1;

const INDEX = `/debug/flags/

v   verbosity of the log: curl -X PUT -d 4 …/debug/flags/v
`;

/**
 * Routes that change flags while the process runs, at the paths of kube-proxy
 * (k8s.io/apiserver/pkg/server/routes/flags.go).
 * @param setVerbosity takes effect for the next line of the log.
 */
export function debugFlagsRoutes(setVerbosity: (verbosity: number) => void): Readonly<Record<string, Route>> {
  const index: Route = () => text(INDEX);
  return {
    "/debug/flags": index,
    "/debug/flags/": index,
    "/debug/flags/v": ({ method, body }: HttpRequest) => {
      if (method !== "PUT") return text("unsupported http method\n", 406);
      const verbosity = /^\d{1,10}$/.test(body) ? Number(body) : NaN;
      if (!(verbosity <= MAX_VERBOSITY)) {
        return text(
          `v: must be a whole number from 0 to ${MAX_VERBOSITY}, as the body of the request\n`,
          400,
        );
      }
      setVerbosity(verbosity);
      return text(`successfully set klog.logging.verbosity to ${verbosity}\n`);
    },
  };
}
