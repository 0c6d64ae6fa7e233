/** Names that a message lists. */
const MAX_LISTED = 8;

/** "a, b, c", or the first eight "and 3 more". */
export function listed(names: readonly string[]): string {
  const first = names.slice(0, MAX_LISTED).join(", ");
  const more = names.length - MAX_LISTED;
  return more > 0 ? `${first} and ${more} more` : first;
}
