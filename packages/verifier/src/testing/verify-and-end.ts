/**
 * A program that verifies one token, with a verifier of its own, and does nothing more: it must end by itself. Its argument is JSON:
 * options, a token, and whether it closes its verifier, waits for it to be ready only, or both.
 */
import { createVerifier } from '../verifier.ts';

const { options, token, closes } = JSON.parse(process.argv[2] ?? '{}');
const verifier = createVerifier(options);
await verifier.ready();
const result = token === undefined ? undefined : await verifier.verify(token);
if (closes) await verifier.close();
console.log(JSON.stringify({ kind: result?.kind, stream: verifier.status().stream }));
