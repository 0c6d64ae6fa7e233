/** Runs steps that need the state that the one before leaves: after a failure, the others are ignored. */
export function dependentSteps(
  t: Deno.TestContext,
): (name: string, fn: () => Promise<void>) => Promise<void> {
  let isBroken = false;
  return async (name, fn) => {
    isBroken = !await t.step({ name, fn, ignore: isBroken }) || isBroken;
  };
}
