import assert from "node:assert/strict";
import { addressesOfPod, findPod } from "../../../../core/commands/explain/client.ts";
import { PodSearch } from "../../../../core/explain/pod_client.ts";
import { parseQuestion, type Question } from "../../../../core/explain/question.ts";
import { UserError } from "../../../../core/user_error.ts";
import { configOf } from "../../config/loaded.ts";
import "../../kube/connection/open_libraries.ts";
import { RecordingLog } from "../../observe/log/recording_log.ts";
import { address } from "../../plan/builders.ts";

const wanted = { namespace: "shop", name: "cart" };
/** Looks for the pod at an API server that gives this answer. */
async function findAt(status: number, answer: unknown) {
  const asked: string[] = [];
  await using server = Deno.serve({ hostname: "127.0.0.1", port: 0, onListen() {} }, (request) => {
    asked.push(new URL(request.url).pathname);
    return Response.json(answer, { status });
  });
  const config = await configOf(`--master=http://127.0.0.1:${server.addr.port}`, "--hostname-override=here");
  const found = await findPod(config, new RecordingLog(), new PodSearch(wanted)).catch((error) => error);
  assert.deepEqual(asked, ["/api/v1/namespaces/shop/pods/cart"]);
  return found;
}

Deno.test("a pod that no slice names is asked from the API server", async () => {
  const pod = await findAt(200, {
    metadata: wanted,
    spec: { nodeName: "there" },
    status: { podIPs: [{ ip: "10.1.0.5" }, { ip: "fd00::5" }] },
  });
  assert.deepEqual(pod, { addresses: [address("10.1.0.5"), address("fd00::5")], node: "there" });
  const inIPv6 = parseQuestion("[fd00:96::1]:80") as Question;
  assert.deepEqual(addressesOfPod(inIPv6, wanted, pod), [address("fd00::5")]);
  const ofService = parseQuestion("shop/web") as Question;
  assert.deepEqual(addressesOfPod(ofService, wanted, pod), ["10.1.0.5", "fd00::5"].map(address));
  const inIPv4 = parseQuestion("10.96.0.1:80") as Question;
  assert.throws(() => addressesOfPod(inIPv4, wanted, { ...pod, addresses: [address("fd00::5")] }), UserError);
});

Deno.test("the message says why a pod cannot be found, and what to give instead", async () => {
  const message =
    'pods "cart" is forbidden: User "system:serviceaccount:kube-system:proxy" cannot get resource';
  const forbidden = await findAt(403, { kind: "Status", reason: "Forbidden", message });
  assert.ok(forbidden instanceof UserError);
  assert.equal(
    forbidden.message,
    "--from pod/shop/cart: no EndpointSlice has the pod as an endpoint, and the API server answers 403: " +
      `${message}; give the address of the pod: kubectl -n shop get pod cart -o wide, or a --kubeconfig that ` +
      "may get pods",
  );
  const missing = await findAt(404, { kind: "Status", reason: "NotFound", message: 'pods "cart" not found' });
  assert.match(missing.message, /answers 404: pods "cart" not found; give the address of the pod: kubectl/);
  const pending = await findAt(200, { metadata: wanted, spec: {}, status: { phase: "Pending" } });
  assert.equal(pending.message, "--from pod/shop/cart: the pod has no address yet");
});

Deno.test("without an API server, a pod has to be in a manifest", async () => {
  const config = await configOf("--manifests=/nowhere", "--hostname-override=here");
  await assert.rejects(
    findPod(config, new RecordingLog(), new PodSearch(wanted)),
    /no EndpointSlice has the pod as an endpoint, and there is no such Pod; give the address/,
  );
});
