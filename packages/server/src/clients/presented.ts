import type { Authorization } from '../http/http.ts';
import { OAuthError } from '../oauth/oauth.ts';

/** Client credentials as they came with a request; nothing about them is proven. */
export interface PresentedClient {
  clientId: string;
  secret: string | undefined;
  method: 'client_secret_basic' | 'client_secret_post' | 'none';
}

/**
 * Reads client credentials from the Authorization header or the form, one way at a time (RFC 6749 §2.3). A Bearer header beside
 * form credentials is no second method: some clients send their old access token along.
 */
export function presentedClient(
  authorization: Authorization,
  form: { get(name: string): string | undefined },
): PresentedClient {
  const formId = form.get('client_id');
  const formSecret = form.get('client_secret');
  switch (authorization.kind) {
    case 'malformed':
      throw new OAuthError(
        'invalid_client',
        'bad_request.authorization_header',
        'The Authorization header is not HTTP Basic with form-urlencoded id and secret (RFC 6749 2.3.1).',
        { challenge: 'Basic' },
      );
    case 'basic':
      refuseSecondMethod(authorization.clientId, formId, formSecret);
      return {
        clientId: authorization.clientId,
        secret: authorization.clientSecret,
        method: 'client_secret_basic',
      };
    case 'none':
    case 'bearer':
      if (formId !== undefined) {
        const method = formSecret === undefined ? 'none' : 'client_secret_post';
        return { clientId: formId, secret: formSecret, method };
      }
      throw new OAuthError(
        'invalid_client',
        'bad_request.missing_param.client_id',
        'No client credentials. Send them by HTTP Basic, or as client_id and client_secret in the form.',
        { challenge: 'Basic' },
      );
  }
}

function refuseSecondMethod(clientId: string, formId: string | undefined, formSecret: string | undefined): void {
  if (formSecret !== undefined) {
    throw new OAuthError(
      'invalid_request',
      'bad_request.two_client_authentications',
      'The client authenticates twice. Send the secret by HTTP Basic or in the form, not both.',
    );
  }
  if (formId !== undefined && formId !== clientId) {
    throw new OAuthError(
      'invalid_request',
      'bad_request.bad_param.client_id',
      'client_id in the form differs from the one in the Authorization header.',
    );
  }
}
