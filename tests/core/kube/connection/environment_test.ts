import { deepEqual, throws } from "node:assert/strict";
import { withVariables } from "../../../../core/kube/connection/environment.ts";

// Names of their own, because tests that run at the same time share the environment.
const SET = "PROXY_TEST_SET";
const UNSET = "PROXY_TEST_UNSET";
const values = () => [Deno.env.get(SET), Deno.env.get(UNSET)];

Deno.test("environment variables have other values during an action, and the old ones after it", () => {
  Deno.env.set(SET, "before");
  try {
    const during = withVariables({ [SET]: "", [UNSET]: "during" }, values);
    deepEqual(during, ["", "during"]);
    deepEqual(values(), ["before", undefined]);
    throws(() =>
      withVariables({ [SET]: "", [UNSET]: "during" }, () => {
        throw new Error("failed");
      }), /failed/);
    deepEqual(values(), ["before", undefined]);
  } finally {
    Deno.env.delete(SET);
  }
});
