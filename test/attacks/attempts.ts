/** All attempts, in the order in which they are mounted. Honest requests stand before, and again after. */
import type { Attempt } from './attempt.ts';
import { ACCESS_TOKEN_ATTEMPTS } from './attempts/access-tokens.ts';
import { CLEARTEXT_ATTEMPTS } from './attempts/cleartext.ts';
import { CONCEDED_TO_DATABASE_WRITERS, DATABASE_ATTEMPTS } from './attempts/database.ts';
import { DEAD_TOKEN_ATTEMPTS } from './attempts/dead-tokens.ts';
import { EXCHANGED_ATTEMPTS } from './attempts/exchanged.ts';
import { HONEST } from './attempts/honest.ts';
import { CONCEDED_TO_CODE_KEY_THIEVES, LINK_ATTEMPTS } from './attempts/links.ts';
import { RACE_ATTEMPTS } from './attempts/races.ts';
import { CONCEDED_TO_CLIENT_THIEVES, REFRESH_ATTEMPTS } from './attempts/refresh-tokens.ts';
import { SPELLING_ATTEMPTS } from './attempts/spellings.ts';

export interface Group {
  title: string;
  attempts: Attempt[];
}

export const GROUPS: Group[] = [
  { title: 'Before: what is honest works', attempts: HONEST },
  { title: 'Access tokens under the leaked key', attempts: ACCESS_TOKEN_ATTEMPTS },
  { title: 'Headers, algorithms, spellings', attempts: SPELLING_ATTEMPTS },
  { title: 'One kind of token as another', attempts: EXCHANGED_ATTEMPTS },
  { title: 'Tokens that were good once', attempts: DEAD_TOKEN_ATTEMPTS },
  { title: 'Refresh tokens', attempts: REFRESH_ATTEMPTS },
  { title: 'Links and codes', attempts: LINK_ATTEMPTS },
  { title: 'A hundred at once', attempts: RACE_ATTEMPTS },
  { title: 'In the clear', attempts: CLEARTEXT_ATTEMPTS },
  { title: 'The database, copied and written', attempts: DATABASE_ATTEMPTS },
  {
    title: 'What more than the keys gives (docs/threat-model.md)',
    attempts: [...CONCEDED_TO_DATABASE_WRITERS, ...CONCEDED_TO_CLIENT_THIEVES, ...CONCEDED_TO_CODE_KEY_THIEVES],
  },
  { title: 'After: what is honest still works', attempts: HONEST },
];
