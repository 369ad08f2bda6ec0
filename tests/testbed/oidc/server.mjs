// The token server of the tests: a certified OpenID provider that issues access tokens as Entra ID does for a mail
// client (client credentials, JWT, audience, roles, and as long as real ones). Its one argument is a JSON file with the settings
// that `oidc.rs` writes.
import { createPublicKey, generateKeyPairSync } from 'node:crypto';
import { readFileSync, writeFileSync } from 'node:fs';
import { createServer } from 'node:https';
import { Provider } from 'oidc-provider';

const settings = JSON.parse(readFileSync(process.argv[2], 'utf8'));
const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
// Mail servers that check tokens by themselves need the public half.
writeFileSync(settings.publicKeyFile, createPublicKey(privateKey).export({ type: 'spki', format: 'pem' }));

const provider = new Provider(settings.issuer, {
  jwks: { keys: [{ ...privateKey.export({ format: 'jwk' }), kid: settings.keyID, use: 'sig', alg: 'RS256' }] },
  routes: { token: settings.tokenPath },
  scopes: [settings.scope],
  clients: [{
    client_id: settings.clientID,
    client_secret: settings.clientSecret,
    grant_types: ['client_credentials'],
    redirect_uris: [],
    response_types: [],
    token_endpoint_auth_method: 'client_secret_post',
    scope: settings.scope,
  }],
  features: {
    clientCredentials: { enabled: true },
    devInteractions: { enabled: false },
    resourceIndicators: {
      enabled: true,
      defaultResource: () => settings.audience,
      getResourceServerInfo: () => ({
        scope: settings.scope,
        audience: settings.audience,
        accessTokenFormat: 'jwt',
        accessTokenTTL: settings.lifetimeSeconds,
        jwt: { sign: { alg: 'RS256', kid: settings.keyID } },
      }),
    },
  },
  // Dovecot knows `JWT`, not RFC 9068's `at+jwt`.
  formats: { customizers: { jwt: (_ctx, _token, jwt) => { jwt.header = { ...jwt.header, typ: 'JWT' }; } } },
  extraTokenClaims: () => settings.claims,
});

const tls = { cert: readFileSync(settings.certificateFile), key: readFileSync(settings.keyFile) };
createServer(tls, provider.callback()).listen(settings.port, '127.0.0.1');
