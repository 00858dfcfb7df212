import { pino } from 'pino';
import type { Log } from './log.ts';

/**
 * Names under which a secret would stand if someone logged it by mistake. Defence in depth: nothing should log one, and what is
 * logged under another name is not found by this.
 */
const REDACTED = [
  'access_token',
  'authorization',
  'client_secret',
  'code',
  'cookie',
  'eb',
  'id_token',
  'password',
  'refresh_token',
  'secret',
  'set-cookie',
  'setCookie',
  'token',
];

/**
 * A log of JSON lines, one per call, written to `stream`: `{"level":"info","time":"2026-…Z","message":…, …fields}`. JSON escapes
 * line ends, so that no value can forge a line.
 */
export function pinoLog(options: { stream: { write(line: string): void }; level: 'info' | 'warn' | 'error' }): Log {
  const paths = REDACTED.flatMap((name) => [`["${name}"]`, `*["${name}"]`]);
  const logger = pino(
    {
      level: options.level,
      base: null,
      messageKey: 'message',
      timestamp: pino.stdTimeFunctions.isoTime,
      formatters: { level: (label) => ({ level: label }) },
      redact: { paths, censor: '[redacted]' },
    },
    options.stream,
  );
  return {
    info: (message, fields = {}) => logger.info(fields, message),
    warn: (message, fields = {}) => logger.warn(fields, message),
    error: (message, fields = {}) => logger.error(fields, message),
  };
}
