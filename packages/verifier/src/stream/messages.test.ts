import assert from 'node:assert/strict';
import { test } from 'node:test';
import type { StreamMessage } from '@countersign/protocol';
import { MessageReader } from './messages.ts';

const invalid = { code: 'authority_answer_invalid' };

const MESSAGES: readonly StreamMessage[] = [
  { kind: 'hello', stream: 'ström-1', epoch: 3, cursor: 7, resumed: true },
  { kind: 'invalidate', cursor: 8, subject: 'grant', handle: 'händle', final: true },
  { kind: 'heartbeat', nonce: 'AAAAAAAAAAAAAAAAAAAAAA', cursor: 8 },
];

function spell({ kind, ...data }: StreamMessage): string {
  return `event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`;
}

function read(text: string | Uint8Array): StreamMessage[] {
  return new MessageReader().read(typeof text === 'string' ? Buffer.from(text) : text);
}

test('messages are the same wherever the bytes are cut, within characters too', () => {
  const bytes = Buffer.from(MESSAGES.map(spell).join(''));
  for (let size = 1; size <= bytes.length; size++) {
    const reader = new MessageReader();
    const found: StreamMessage[] = [];
    for (let at = 0; at < bytes.length; at += size) found.push(...reader.read(bytes.subarray(at, at + size)));
    assert.deepEqual(found, MESSAGES, `in pieces of ${size}`);
  }
});

test('a message is there as soon as it is complete, and no sooner', () => {
  const reader = new MessageReader();
  const text = spell({ kind: 'heartbeat', nonce: 'n', cursor: 1 });
  assert.deepEqual(reader.read(Buffer.from(text.slice(0, -1))), []);
  assert.equal(reader.read(Buffer.from('\n')).length, 1);
});

test('comments, empty events and events of a later version are passed over', () => {
  const text = `: comment\n\n\n\nevent: later\ndata: {"a":1}\n\ndata: {"kind":"hello"}\n\nid: 1\nretry: 5\n\n${spell(MESSAGES[2] as StreamMessage)}`;
  assert.deepEqual(read(text), [MESSAGES[2]]);
});

test('members of a later version are passed over', () => {
  assert.deepEqual(read('event: heartbeat\ndata: {"nonce":"n","cursor":1,"kind":"hello","more":[1]}\n\n'), [
    { kind: 'heartbeat', nonce: 'n', cursor: 1 },
  ]);
});

test('a known event that is not as it should be ends the stream, for what it would have said is lost', () => {
  const hello = { stream: 's', epoch: 1, cursor: 1, resumed: false };
  const invalidate = { cursor: 1, subject: 'token', handle: 'h', final: true };
  const heartbeat = { nonce: 'n', cursor: 1 };
  const wrong: [string, unknown][] = [
    ['hello', { ...hello, stream: 1 }],
    ['hello', { ...hello, epoch: -1 }],
    ['hello', { ...hello, epoch: '1' }],
    ['hello', { ...hello, cursor: 1.5 }],
    ['hello', { ...hello, cursor: 2 ** 53 }],
    ['hello', { ...hello, resumed: 'true' }],
    ['hello', {}],
    ['invalidate', { ...invalidate, subject: 'session' }],
    ['invalidate', { ...invalidate, subject: 'toString' }],
    ['invalidate', { ...invalidate, subject: ['token'] }],
    ['invalidate', { ...invalidate, handle: null }],
    ['invalidate', { ...invalidate, cursor: undefined }],
    ['invalidate', { ...invalidate, final: undefined }],
    ['heartbeat', { ...heartbeat, nonce: 1 }],
    ['heartbeat', { ...heartbeat, cursor: null }],
    ['heartbeat', null],
    ['heartbeat', [heartbeat]],
    ['heartbeat', 'text'],
  ];
  for (const [kind, data] of wrong) {
    assert.throws(
      () => read(`event: ${kind}\ndata: ${JSON.stringify(data)}\n\n`),
      invalid,
      `${kind} ${JSON.stringify(data)}`,
    );
  }
  for (const text of [
    'event: hello\n\n',
    'event: hello\ndata: {"stream"\n\n',
    'event: invalidate\ndata: not JSON\n\n',
  ]) {
    assert.throws(() => read(text), invalid);
  }
});

test('no error quotes what was sent', () => {
  const secret = 'a-secret-of-somebody';
  for (const text of [`event: hello\ndata: ${secret}\n\n`, `event: heartbeat\ndata: {"nonce":1,"x":"${secret}"}\n\n`]) {
    assert.throws(
      () => read(text),
      (error: Error) => !error.message.includes('secret'),
    );
  }
});

test('an event that does not end is not kept: neither in one piece, nor in many, nor as a comment', () => {
  assert.throws(() => read(`event: later\ndata: ${'x'.repeat(5_000)}`), invalid);
  assert.throws(() => read(`event: later\ndata: ${'x'.repeat(5_000)}\n\n`), invalid);
  const reader = new MessageReader();
  assert.throws(() => {
    for (let i = 0; i < 100; i++) reader.read(Buffer.from(`: ${'x'.repeat(98)}\n`));
  }, invalid);
});

test('many events in one piece are no long event', () => {
  const text = spell({ kind: 'heartbeat', nonce: 'n', cursor: 1 }).repeat(1_000);
  assert.equal(read(text).length, 1_000);
});

test('bytes that are not UTF-8, and other line ends than the authority writes, bring no message', () => {
  assert.throws(() => read(Buffer.from([0x65, 0xff, 0xfe, 0x0a, 0x0a])), invalid);
  const crlf = MESSAGES.map(spell).join('').replaceAll('\n', '\r\n');
  assert.deepEqual(read(crlf), []);
  assert.throws(() => read(crlf.repeat(50)), invalid);
});

test('random bytes never do more than end the stream', () => {
  let state = 1;
  for (let round = 0; round < 200; round++) {
    const bytes = Uint8Array.from({ length: 300 }, () => {
      state = (Math.imul(state, 1_103_515_245) + 12_345) >>> 0;
      return state >>> 24;
    });
    try {
      assert.deepEqual(read(bytes), [], `round ${round}`);
    } catch (error) {
      assert.ok(
        error instanceof Error && 'code' in error && error.code === 'authority_answer_invalid',
        `round ${round}`,
      );
    }
  }
});
