/**
 * `@countersign/server`: for whoever runs the authority inside a process of his own, a test above all. Everybody else runs
 * the command `countersign`.
 */
export { DevelopmentMailbox } from './mail/mail.ts';
export {
  type Authority,
  type AuthorityGiven,
  type AuthoritySettings,
  composeAuthority,
  composeServer,
  type Server,
  type World,
} from './server.ts';
export {
  dropScratchDatabase,
  dropScratchDatabases,
  type JournalEntry,
  leaveScratchDatabase,
  makeScratchDatabase,
  openPostgresStore,
  openScratchStore,
  openSqliteStore,
  type PostgresStore,
  type ScratchServer,
  type ScratchStore,
  type SqliteStore,
  type Store,
} from './store/store.ts';
export { type Clock, systemClock } from './world/clock.ts';
export { localCertificate } from './world/development-certificates.ts';
export { type Listener, listenHttps, listenPlaintext } from './world/listener.ts';
export { pinoLog } from './world/log-pino.ts';
export { type SmtpOptions, smtpTransport } from './world/mail-smtp.ts';
export type { MailTransport, OutgoingMail } from './world/mail-transport.ts';
export { systemRandom } from './world/random.ts';
export { systemStopwatch } from './world/stopwatch.ts';
export { systemTimers } from './world/timers.ts';
