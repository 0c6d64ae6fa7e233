import { ApiServer } from "../../core/kube/api/api_server.ts";
import { fill, Proxy } from "../process/measure.ts";
import { memory } from "../process/resident_memory.ts";

// Prints the resident memory of the proxy with many services, in MB. Runs in a network namespace of its own.
//   resident.ts PROXY MODE SERVICES

/** Time for garbage collection before the memory is read. */
const SETTLE_MS = 6000;

const [path = "", mode = "", services = ""] = Deno.args;
await using server = new ApiServer();
server.behaviour.bookmarkInterval = 60_000;
fill(server, { services: Number(services), endpoints: 10 });
await using proxy = new Proxy({ path, mode }, server.url);
await proxy.waitUntilReconciled();
await new Promise((resolve) => setTimeout(resolve, SETTLE_MS));
console.log(memory(proxy.pid, "VmRSS"));
