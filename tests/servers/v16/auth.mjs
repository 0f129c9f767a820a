// better-auth 1.6 with the Convex plugin: /token and /convex/token in one server.
import { convex, crossDomain } from "@convex-dev/better-auth/plugins";
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer } from "better-auth/plugins/bearer";
import { deviceAuthorization } from "better-auth/plugins/device-authorization";
import { jwt } from "better-auth/plugins/jwt";
import { oneTimeToken } from "better-auth/plugins/one-time-token";
import { commonOptions, emptyTables, jwtOptions, privateKeyStore } from "../options.mjs";

export function build(test, origin) {
  process.env.CONVEX_SITE_URL = origin; // read while the convex plugin is built
  const tables = emptyTables();

  const plainJwt = jwt({ ...jwtOptions(test), adapter: privateKeyStore() });
  // The convex plugin has endpoints under the same keys and would hide these.
  const { getToken, getJwks, ...rest } = plainJwt.endpoints;
  plainJwt.endpoints = { ...rest, plainGetToken: getToken, plainGetJwks: getJwks };

  const provider =
    test.convex_alg === "EdDSA"
      ? { applicationID: "convex", domain: origin }
      : {
          applicationID: "convex",
          type: "customJwt",
          algorithm: "RS256",
          issuer: origin,
          jwks: `${origin}/api/auth/convex/jwks`,
        };
  const auth = betterAuth({
    ...commonOptions(test, origin),
    database: (options) => {
      const adapter = memoryAdapter(tables)(options);
      // Without this the convex plugin turns every write into a no-op.
      adapter.options = { ...adapter.options, isRunMutationCtx: true };
      return adapter;
    },
    plugins: [
      bearer(),
      // crossDomain brings a one-time-token plugin of its own.
      ...(test.cross_domain ? [crossDomain({ siteUrl: test.cross_domain })] : [oneTimeToken()]),
      deviceAuthorization(),
      plainJwt,
      convex({
        authConfig: { providers: [provider] },
        ...(test.jwt_expiration_s ? { jwt: { expirationSeconds: test.jwt_expiration_s } } : {}),
      }),
    ],
  });
  return { auth, tables, toNodeHandler };
}
