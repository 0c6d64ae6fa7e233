import { anonymous } from "../../../../core/kube/access/cluster_access.ts";
import { Credentials } from "../../../../core/kube/access/credentials.ts";
import { API_TIMING } from "../../../../core/kube/api/timing.ts";
import { Transport } from "../../../../core/kube/api/transport.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";

// Prints the response to one request, or the error.
//   get_once.ts URL AUTHORITY    the authority as PEM, "" for those of the system

const [url = "", authority = ""] = Deno.args;
const access = {
  origin: "a test",
  server: new URL(url),
  authority: authority === "" ? undefined : { text: authority },
  tlsServerName: "",
  isInsecure: false,
  proxyUrl: "",
  user: anonymous,
};
using transport = new Transport({
  access,
  credentials: new Credentials(access, new RecordingLog(), API_TIMING),
  userAgent: "proxy/1.2.3",
});
try {
  console.log(await (await transport.get("/version", new AbortController().signal)).text());
} catch (error) {
  console.log(error instanceof Error ? error.message : error);
}
