/** What the bench uses of `oidc-provider`, which comes without types. */
declare module 'oidc-provider' {
  import type { RequestListener } from 'node:http';

  interface Model {
    save(): Promise<string>;
  }

  export class Provider {
    constructor(issuer: string, configuration: object);
    callback(): RequestListener;
    Client: { find(id: string): Promise<object | undefined> };
    Grant: new (of: {
      accountId: string;
      clientId: string;
    }) => Model & { addResourceScope(resource: string, scope: string): void };
    RefreshToken: new (of: {
      client: object;
      accountId: string;
      grantId: string;
      gty: string;
      scope: string;
      resource: string;
    }) => Model;
  }
}
