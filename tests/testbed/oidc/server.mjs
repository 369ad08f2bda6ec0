// The token server of the tests: a certified OpenID provider that issues access tokens as Entra ID does for a mail
// client (JWT, audience, roles, and as long as real ones): for a secret, a certificate's statement, a refresh token that it
// replaces each time, a service account's statement, and a token of a cluster. Its one argument is a JSON file with the
// settings that `oidc.rs` writes.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { createLocalJWKSet, decodeJwt, jwtVerify } from 'jose';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
// Mail servers that check tokens by themselves need the public half.
writeFileSync(settings.publicKeyFile, createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }));

const JWT_BEARER = 'urn:ietf:params:oauth:grant-type:jwt-bearer';
const tokenURL = settings.issuer + settings.tokenPath;
const client = { redirect_uris: [], response_types: [], scope: settings.scope };
const resourceServer = {
  scope: settings.scope,
  audience: settings.audience,
  accessTokenFormat: 'jwt',
  accessTokenTTL: settings.lifetimeSeconds,
  jwt: { sign: { alg: 'RS256', kid: settings.keyID } },
};

// For whom a service account has spoken, by the token it got.
const subjects = new WeakMap();

const provider = new Provider(settings.issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: settings.keyID, use: 'sig', alg: 'RS256' }] },
  routes: { token: settings.tokenPath },
  scopes: [settings.scope, 'offline_access'], // without the latter there are no refresh tokens
  clients: [{
    ...client,
    client_id: settings.clientID,
    client_secret: settings.clientSecret,
    grant_types: ['client_credentials', 'refresh_token'],
    token_endpoint_auth_method: 'client_secret_post',
  }, {
    ...client,
    client_id: 'service-accounts',
    grant_types: [JWT_BEARER],
    token_endpoint_auth_method: 'none',
  }, ...settings.certificates.map(({ clientID, pem, algorithm }) => ({
    ...client,
    client_id: clientID,
    grant_types: ['client_credentials'],
    token_endpoint_auth_method: 'private_key_jwt',
    token_endpoint_auth_signing_alg: algorithm ?? undefined,
    jwks: { keys: [createPublicKey(pem).export({ format: 'jwk' })] },
  }))],
  enabledJWA: { clientAuthSigningAlgValues: ['RS256', 'PS256', 'ES256', 'ES384', 'EdDSA'] },
  rotateRefreshToken: true,
  findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id }) }),
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audience,
      useGrantedResource: () => true,
      getResourceServerInfo: () => resourceServer,
    },
  },
  // Dovecot knows `JWT`, not RFC 9068's `at+jwt`.
  formats: { customizers: { jwt: (_ctx, _token, jwt) => { jwt.header = { ...jwt.header, typ: 'JWT' }; } } },
  extraTokenClaims: (_ctx, token) => {
    const person = subjects.get(token) ?? token.accountId;
    return person ? { ...settings.claims, roles: undefined, scp: 'SMTP.Send', email: person } : settings.claims;
  },
});

// RFC 7523, section 2.1: a service account speaks in the name of a mailbox.
provider.registerGrantType(JWT_BEARER, async (ctx, next) => {
  const { email, pem } = settings.serviceAccount;
  let subject;
  try {
    const options = { issuer: email, audience: tokenURL, requiredClaims: ['sub', 'exp', 'iat', 'scope'] };
    subject = (await jwtVerify(ctx.oidc.params.assertion, createPublicKey(pem), options)).payload.sub;
  } catch (error) {
    ctx.status = 400;
    ctx.body = { error: 'invalid_grant', error_description: `Invalid JWT Signature. (${error.code})` };
    return;
  }
  const token = new provider.ClientCredentials({ client: ctx.oidc.client, scope: settings.scope });
  token.resourceServer = new provider.ResourceServer(settings.audience, resourceServer);
  subjects.set(token, subject);
  const value = await token.save();
  ctx.body = { access_token: value, expires_in: token.expiration, token_type: token.tokenType };
  await next();
}, ['assertion', 'scope']);

// What the provider cannot be configured for: a service account's request names no client, and a cluster's token is
// the proof of a client although it is not that client's own statement.
provider.use(async (ctx, next) => {
  if (ctx.method !== 'POST' || ctx.path !== settings.tokenPath) return next();
  let body = '';
  for await (const chunk of ctx.req) body += chunk;
  const form = Object.fromEntries(new URLSearchParams(body));
  ctx.req.body = form;
  if (form.grant_type === JWT_BEARER) form.client_id ??= 'service-accounts';
  const { cluster } = settings;
  if (cluster && form.client_assertion && decodeJwt(form.client_assertion).iss === cluster.issuer) {
    const { issuer, subject, audience } = cluster;
    try {
      await jwtVerify(form.client_assertion, createLocalJWKSet(cluster.jwks), { issuer, subject, audience });
    } catch (error) {
      ctx.status = 401;
      const text = `AADSTS700213: No matching federated identity record found (${error.code}).`;
      ctx.body = { error: 'invalid_client', error_description: text, error_codes: [700213] };
      return undefined;
    }
    delete form.client_assertion;
    delete form.client_assertion_type;
    form.client_secret = settings.clientSecret;
  }
  return next();
});

// A person has consented once; what remains is a refresh token.
const grant = new provider.Grant({ accountId: settings.claims.email, clientId: settings.clientID });
grant.addResourceScope(settings.audience, settings.scope);
const refreshToken = new provider.RefreshToken({
  accountId: settings.claims.email,
  client: await provider.Client.find(settings.clientID),
  grantId: await grant.save(),
  gty: 'authorization_code',
  resource: settings.audience,
  scope: settings.scope,
});
writeFileSync(settings.refreshTokenFile, await refreshToken.save());

const tls = { cert: readFileSync(settings.certificateFile), key: readFileSync(settings.keyFile) };
createServer(tls, provider.callback()).listen(settings.port, '127.0.0.1');
