/**
 * `@countersign/testkit`: a real authority in the test's own process, over real TLS and a real database file, with a clock that the
 * test moves and mails that the test reads.
 *
 * @example
 * const server = await startTestServer();
 * const browser = await server.logIn('ada@example.com');
 * const { client, secret } = await server.addClient({ name: 'App', redirectUris: ['https://app.example/cb'] });
 * const tokens = await server.obtainTokens({ browser, client, secret });
 * server.clock.advance(16 * 60_000);
 * await server.close();
 */
export { Browser, type Page } from './browser.ts';
export { SteeredClock } from './clock.ts';
export { engineOf, type TestEngine } from './engine.ts';
export { codeIn, DEFAULT_AUDIENCE, linkIn, type TokenSet } from './flows.ts';
export { startTestServer, type TestServer, type TestServerOptions } from './server.ts';
export { openTestStore, type TestStore } from './store.ts';
