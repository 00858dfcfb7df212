/** The system's Chromium, driven by playwright-core, trusting one test server's certificate by its key. */
import { createHash, X509Certificate } from 'node:crypto';
import { existsSync } from 'node:fs';
import { connect } from 'node:tls';
import type { TestServer } from '@countersign/testkit';
import { type Browser, chromium } from 'playwright-core';

const PLACES = ['/usr/bin/chromium', '/usr/bin/chromium-browser', '/usr/bin/google-chrome'];

/** Where Chromium stands on this machine; undefined: nowhere known. CI insists on it (scripts/test.ts). */
export const CHROMIUM = PLACES.find((place) => existsSync(place));

/** For `test({ skip })`: false, or the reason. */
export const WITHOUT_CHROMIUM = CHROMIUM === undefined ? 'Chromium is not installed' : false;

export async function openChromium(server: TestServer): Promise<Browser> {
  return chromium.launch({
    ...(CHROMIUM !== undefined && { executablePath: CHROMIUM }),
    args: [
      '--headless',
      '--no-sandbox',
      '--disable-gpu',
      '--disable-quic',
      '--no-first-run',
      '--disable-background-networking',
      '--disable-component-update',
      '--disable-sync',
      `--ignore-certificate-errors-spki-list=${await keyPin(new URL(server.issuer))}`,
    ],
  });
}

/** SHA-256 of the server's public key: this one key is trusted, certificates in general are not. */
async function keyPin(issuer: URL): Promise<string> {
  const certificate = await new Promise<Buffer>((resolve, reject) => {
    const socket = connect({ host: issuer.hostname, port: Number(issuer.port), servername: issuer.hostname }, () => {
      resolve(socket.getPeerCertificate().raw);
      socket.destroy();
    });
    socket.on('error', reject);
  });
  const spki = new X509Certificate(certificate).publicKey.export({ type: 'spki', format: 'der' });
  return createHash('sha256').update(spki).digest('base64');
}
