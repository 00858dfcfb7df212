/**
 * Every `code` that an answer can hold, with what it means for whoever wrote the client. Stable: codes are added, never renamed.
 * docs/errors.md tells them to client developers and is held to this table by a test. `<name>` stands for a parameter's name.
 */
export const ERROR_CODES = {
  bad_request: 'the request could not be read at all',
  'bad_request.authorization_header': 'the `Authorization` header is neither one Basic nor one Bearer credential',
  'bad_request.authorization_code.invalid':
    'the code is unknown, expired, used, or belongs to another client, `redirect_uri` or `code_verifier`: start again',
  'bad_request.bad_param.<name>': 'the value of this parameter is not one that can be accepted',
  'bad_request.body_too_large': 'the body is too large',
  'bad_request.content_type': 'the body is not of the media type that this endpoint reads',
  'bad_request.duplicate_param': 'a parameter was sent twice',
  'bad_request.duplicate_param.<name>': 'this parameter was sent twice',
  'bad_request.grant_type_not_registered': 'the client is not registered for this `grant_type`',
  'bad_request.incomplete_body': 'the connection ended before the body was complete',
  'bad_request.json_depth': 'the JSON is nested too deep',
  'bad_request.malformed_form': 'the parameters are not form-urlencoded UTF-8',
  'bad_request.malformed_json': 'the body is not JSON',
  'bad_request.missing_param.<name>': 'this parameter is missing, or empty',
  'bad_request.param_too_long': 'a parameter is too long',
  'bad_request.registration_not_supported': 'self-registering clients are not supported',
  'bad_request.request_not_supported': 'request objects are not supported',
  'bad_request.request_too_long':
    'the authorization request is too long to be carried through a login: keep `state` short',
  'bad_request.request_uri_not_supported': 'request objects are not supported',
  'bad_request.schema': 'a member of the JSON body is missing or not of its type',
  'bad_request.secret_in_query': 'a secret or token stood in the URL: send it in the body, and replace it',
  'bad_request.too_many_params': 'there are too many parameters',
  'bad_request.two_access_tokens': 'the access token came twice, in header and form',
  'bad_request.two_client_authentications': 'the client authenticated twice, in header and form',
  'bad_request.url_too_long': 'the URL is too long',
  'unauthorized.missing_token': 'no access token was sent',
  'unauthorized.bad_access_token': 'the access token is not, or no longer, good: ask the user to log in again',
  'unauthorized.bad_access_token.bound':
    'the access token is bound to a key of its client, which cannot be proved here: ask through a sidecar',
  'unauthorized.bad_access_token.evicted': 'a newer access token of the same grant replaced this one: use that',
  'unauthorized.bad_access_token.expired': 'the access token has expired: refresh it',
  'unauthorized.bad_refresh_token': 'the refresh token is not, or no longer, good: ask the user to log in again',
  'unauthorized.bad_refresh_token.expired': 'the refresh token has expired: ask the user to log in again',
  'unauthorized.client_authentication': 'client id, secret or method is wrong, or the client is disabled',
  'forbidden.cleartext': 'the request came over plain http; if it held a good credential, that is revoked',
  'forbidden.consent_required': 'sent with `prompt=none`, but the user has to agree',
  'forbidden.denied_by_user': 'the user did not agree',
  'forbidden.foreign_token': 'the token was issued to another client and stays as it is',
  'forbidden.forward_auth_query': 'the address that the proxy calls holds another query than `audience` and `scope`',
  'forbidden.insufficient_scope': 'the access token lacks the scope that the challenge names',
  'forbidden.login_required': 'sent with `prompt=none`, but the user has to log in',
  'forbidden.not_a_proxy':
    'only the proxies that `forwardAuthProxies` names, and `trustedProxies` does not, may ask who a token is',
  'forbidden.not_a_resource_server': 'only clients registered as resource servers may ask about tokens',
  'conflict.unknown_stream': 'this node holds no such stream of this client: open a new one',
  'rate_limited.authorization': 'too many authorization requests from this network: wait for `Retry-After`',
  'rate_limited.client_authentication':
    'too many failed authentications of this client from this network: wait for `Retry-After`',
  'rate_limited.live_tokens': 'too many live access tokens of this client or grant: use those there are',
  'rate_limited.nonces': 'too many nonces wait on this stream: the echo of an earlier one will do',
  'rate_limited.session_grants':
    'too many grants of this login session: use those there are, or ask the user to log in again',
  'rate_limited.streams': 'too many streams of this client are open: wait for `Retry-After`',
  'authorization.redirect_uri': 'page: the `redirect_uri` is missing or not exactly a registered one',
  'authorization.request_over': 'page: the authorization request is older than an hour',
  'authorization.unknown_client': 'page: the `client_id` is unknown, or the client is disabled',
  'form.foreign_origin': 'page: a form came from another site',
  'form.missing_token': 'page: a form came without its token, or cookies are off',
  'form.wrong_token': 'page: a form came from another browser or login',
  'login.network_limited': 'page: too many logins from this network',
  'login.request_over': 'page: what the user was logging in for is older than an hour',
  'mailbox.unknown_mail': 'page: the development mailbox no longer holds this mail',
  method_not_allowed: 'this path answers other methods: see `Allow`',
  not_found: 'there is nothing at this path',
  'unavailable.store_behind':
    'the store is an older copy of what it was: nobody is served until an operator has set a restore point',
  'unavailable.store_copied':
    'the store was brought from another database server by a dump: nobody is served until an operator has set a restore point',
  'unavailable.store_moved': 'the store has moved away: this server answers nothing any more, its new home does',
  'unavailable.streams': 'this node opens no more streams now: try again, perhaps at another one',
  'unavailable.store': 'the authority cannot answer right now: try again after `Retry-After`',
  internal_service: 'a fault of the authority: its log knows the `request_id`',
} as const;

/** A code of the table, with a parameter's name in the place of `<name>`. */
export type ErrorCode = Spelled<keyof typeof ERROR_CODES>;
type Spelled<Code extends string> = Code extends `${infer Family}<name>` ? `${Family}${string}` : Code;
