/**
 * Hashes a text to 53 bits, to detect changes of a text without keeping it. Not cryptographic: an author of
 * manifests gains nothing from a collision. There are two multiplicative lanes. The second contributes its
 * upper bits, where such a hash mixes best.
 */
export function fingerprint(text: string): number {
  let low = 0x811c9dc5;
  let high = 0x2545f491;
  for (let i = 0; i < text.length; i++) {
    const unit = text.charCodeAt(i);
    low = Math.imul(low ^ unit, 0x01000193);
    high = Math.imul(high ^ unit ^ (high >>> 15), 0x5bd1e995);
  }
  return (high >>> 11) * 0x1_0000_0000 + (low >>> 0);
}
