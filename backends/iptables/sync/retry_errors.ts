/**
 * A foreign rule jumps to a chain that was to be deleted. The batch is written again without the deletion.
 */
export class ChainInUse extends Error {
  override readonly name = "ChainInUse";
  constructor(readonly chain: string) {
    super(`foreign rules jump to chain ${chain}`);
  }
}

/**
 * The kernel rejected a rule that it had listed, such as a foreign one that refers to an anonymous set. The batch
 * is written again without rewriting shared chains.
 */
export class RestoreRejected extends Error {
  override readonly name = "RestoreRejected";
}
