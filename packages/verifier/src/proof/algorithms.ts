/**
 * Algorithms of DPoP proofs, all asymmetric (RFC 9449 §4.3, 5): ES256, which client libraries and browsers make by default;
 * Ed25519, and `EdDSA`, its name before RFC 9864; PS256, which FAPI 2.0 knows beside them; RS256, which key stores of
 * hardware and companies often have alone. Challenges name them in this order.
 */
export const PROOF_ALGORITHMS = ['ES256', 'Ed25519', 'EdDSA', 'PS256', 'RS256'] as const;

export type ProofAlgorithm = (typeof PROOF_ALGORITHMS)[number];

export function isProofAlgorithm(alg: unknown): alg is ProofAlgorithm {
  return (PROOF_ALGORITHMS as readonly unknown[]).includes(alg);
}
