import assert from 'node:assert/strict';
import { describe, test } from 'node:test';
import { pinoLog } from './log-pino.ts';

function start(level: 'info' | 'warn' | 'error' = 'info') {
  const lines: string[] = [];
  return { log: pinoLog({ stream: { write: (line) => void lines.push(line) }, level }), lines };
}

describe('the log', () => {
  test('LG-04 one call is one line of JSON, whatever its values hold', () => {
    const { log, lines } = start();
    log.info('hello\r\n{"level":"error"}', { agent: 'a\r\nb\u2028c', status: 200, gone: undefined });
    assert.equal(lines.length, 1);
    assert.match(lines[0] ?? '', /^[^\r\n]*\n$/);
    const line = JSON.parse(lines[0] ?? '');
    assert.equal(line.level, 'info');
    assert.equal(line.agent, 'a\r\nb\u2028c');
    assert.match(line.time, /^\d{4}-\d\d-\d\dT/);
  });

  test('fields that would be secrets are redacted', () => {
    const { log, lines } = start();
    log.error('x', {
      token: 's3cret',
      code: 's3cret',
      authorization: 's3cret',
      cookie: 's3cret',
      'set-cookie': 's3cret',
      eb: 's3cret',
    });
    assert.doesNotMatch(lines[0] ?? '', /s3cret/);
  });

  test('what is below the level is not written', () => {
    const { log, lines } = start('warn');
    log.info('no');
    log.warn('yes');
    assert.equal(lines.length, 1);
  });
});
