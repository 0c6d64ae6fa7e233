/** What the log shows of them. */
const MOST_DIFFERENCES = 20;

/** The first of many differences, and how many more there are. */
export function shortened(differences: readonly string[]): readonly string[] {
  const more = differences.length - MOST_DIFFERENCES;
  return more > 0 ? [...differences.slice(0, MOST_DIFFERENCES), `${more} more`] : differences;
}
