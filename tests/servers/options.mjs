// What both versions have in common: the Better Auth options made out of a test's options.
import { createHash } from "node:crypto";

/** Objects are merged key by key; everything else is replaced. */
export function merge(base, over) {
  const out = { ...base };
  for (const [key, value] of Object.entries(over ?? {})) {
    const both = [out[key], value].every((v) => v && typeof v === "object" && !Array.isArray(v));
    out[key] = both ? merge(out[key], value) : value;
  }
  return out;
}

const digest = (password) => createHash("sha256").update(password).digest("hex");

export function emptyTables() {
  const names = ["user", "session", "account", "verification", "jwks", "deviceCode"];
  return Object.fromEntries(names.map((name) => [name, []]));
}

/** A key store of its own, so that two JWT plugins in one server do not share keys. */
export function privateKeyStore() {
  const keys = [];
  return {
    getJwks: async () => [...keys],
    createJwk: async (data) => {
      const row = { id: `key-${keys.length + 1}`, createdAt: new Date(), ...data };
      keys.push(row);
      return row;
    },
  };
}

export function commonOptions(test, origin) {
  const cache = test.cookie_cache ?? false;
  return merge(
    {
      baseURL: origin,
      basePath: "/api/auth",
      secret: "a-secret-for-tests-only-0123456789abcdef",
      trustedOrigins: test.trusted_origins ?? [],
      telemetry: { enabled: false },
      rateLimit: { enabled: false },
      logger: { level: "error" },
      emailAndPassword: {
        enabled: true,
        ...(test.real_hash
          ? {}
          : {
              // The hash is not on the wire; scrypt would cost every sign-in some 50 ms.
              password: {
                hash: async (password) => digest(password),
                verify: async ({ hash, password }) => hash === digest(password),
              },
            }),
      },
      user: {
        deleteUser: { enabled: true },
        changeEmail: { enabled: true, updateEmailWithoutVerification: true },
      },
      session: {
        ...(test.session ?? {}),
        ...(cache ? { cookieCache: { enabled: true, ...(cache === true ? {} : cache) } } : {}),
      },
    },
    test.options,
  );
}

export function jwtOptions(test) {
  return test.jwt_expiration_s ? { jwt: { expirationTime: `${test.jwt_expiration_s}s` } } : {};
}
