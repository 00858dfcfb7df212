import { pairs } from './output.ts';

/** What a person needs to know of a server that has just started. */
export interface Started {
  version: string;
  issuer: string;
  readyInMs: number;
  /** Absolute. */
  dataFolder: string;
  isNew: boolean;
  hasMailbox: boolean;
  /** The development CA; undefined where the certificate comes from files. */
  caCertificateFile: string | undefined;
}

/** The lines that a start in development prints. */
export function banner(started: Started): string {
  const { issuer, caCertificateFile } = started;
  const lines = [
    `Countersign ${started.version}, ready in ${Math.round(started.readyInMs)} ms.`,
    '',
    pairs({
      Open: issuer,
      ...(started.hasMailbox && { 'Mails arrive at': `${issuer}/dev/mailbox` }),
      'Data lives in': `${started.dataFolder}${started.isNew ? ' (made now)' : ''}`,
      'Stop with': 'Ctrl+C',
    }),
  ];
  if (caCertificateFile !== undefined) {
    lines.push(
      '',
      'Browsers warn until they trust the CA that was made for this machine. It can vouch for localhost and nothing else:',
      pairs({
        curl: `curl --cacert ${caCertificateFile} ${issuer}/.well-known/openid-configuration`,
        Node: `NODE_EXTRA_CA_CERTS=${caCertificateFile}`,
        Browsers: `settings, certificates, authorities: import ${caCertificateFile} to identify websites`,
      }),
    );
  }
  return `${lines.join('\n')}\n`;
}
