/**
 * `npm run bench`: every benchmark, one after the other, each with the goal it is held against. A goal that is missed is printed
 * as missed; only a run that breaks ends with an error.
 */
import { availableParallelism } from 'node:os';
import { benchMemory } from './memory.ts';
import { benchRevocation } from './revocation.ts';
import { benchStore } from './store.ts';
import { benchTokens } from './tokens.ts';
import { benchVerify } from './verify.ts';

const BENCHES = [
  ['Store: refresh rotations, one commit each and grouped', benchStore],
  ['Tokens over HTTPS, beside oidc-provider with its in-memory adapter', benchTokens],
  ['Revocation: from its answer to refusal by 200 verifiers', benchRevocation],
  ['Memory of an authority', benchMemory],
  ['Verification in a resource server, beside other libraries', () => benchVerify()],
] as const;

const cores = availableParallelism();
console.log(`${cores} cores, Node ${process.version}. Servers and the load generator are processes of their own`);
console.log(`and share the cores${cores < 4 ? ': ratios say more than numbers here' : ''}.`);

const met: string[] = [];
const missed: string[] = [];
for (const [title, bench] of BENCHES) {
  console.log(`\n## ${title}\n`);
  const { goalMet } = await bench();
  (goalMet ? met : missed).push(title);
}
console.log(`\n${met.length} of ${BENCHES.length} benches met their goals${missed.length > 0 ? '; missed:' : '.'}`);
for (const title of missed) console.log(`- ${title}`);
