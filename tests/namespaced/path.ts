/**
 * Path of a test file that has to run inside a network namespace, which a test in tests/integration makes.
 * @param name without its ending, such as "conntrack/privileged"
 */
export function namespacedTest(name: string): string {
  return new URL(`./${name}_test.ts`, import.meta.url).pathname;
}
