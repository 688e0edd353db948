// Configuration comes from the environment and is checked once, at the start: a process with a wrong setting says
// which one and does not come up.

const LOG_LEVELS = ["debug", "info", "warn", "error"];

export class ConfigError extends Error {}

function integer(env, name, fallback, { min, max }) {
  const text = env[name];
  if (text === undefined || text === "") {
    return fallback;
  }
  const value = Number(text);
  if (!Number.isInteger(value) || value < min || value > max) {
    throw new ConfigError(`${name} must be a whole number from ${min} to ${max}`);
  }
  return value;
}

export function loadConfig(env = process.env) {
  const logLevel = env.LOG_LEVEL || "info";
  if (!LOG_LEVELS.includes(logLevel)) {
    throw new ConfigError(`LOG_LEVEL must be one of ${LOG_LEVELS.join(", ")}`);
  }
  return Object.freeze({
    host: env.HOST || "0.0.0.0",
    port: integer(env, "PORT", 3000, { min: 0, max: 65535 }),
    logLevel,
    shutdownGraceSeconds: integer(env, "SHUTDOWN_GRACE_SECONDS", 10, { min: 0, max: 300 }),
  });
}
