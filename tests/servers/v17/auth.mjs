// better-auth 1.7 with its own JWT plugin: /token.
import { betterAuth } from "better-auth";
import { memoryAdapter } from "better-auth/adapters/memory";
import { toNodeHandler } from "better-auth/node";
import { bearer } from "better-auth/plugins/bearer";
import { deviceAuthorization } from "better-auth/plugins/device-authorization";
import { jwt } from "better-auth/plugins/jwt";
import { oneTimeToken } from "better-auth/plugins/one-time-token";
import { commonOptions, emptyTables, jwtOptions } from "../options.mjs";

export function build(test, origin) {
  const tables = emptyTables();
  const auth = betterAuth({
    ...commonOptions(test, origin),
    database: memoryAdapter(tables),
    plugins: [bearer(), oneTimeToken(), deviceAuthorization(), jwt(jwtOptions(test))],
  });
  return { auth, tables, toNodeHandler };
}
