// Configuration comes from the environment and is checked once, at the start: a process with a wrong setting says
// which one and does not come up.

const LOG_LEVELS = ["debug", "info", "warn", "error"];

export class ConfigError extends Error {}

function number(env, name, fallback, { min, max, whole = true }) {
  const text = env[name];
  if (text === undefined || text === "") {
    return fallback;
  }
  const value = Number(text);
  if (!(whole ? Number.isInteger(value) : Number.isFinite(value)) || value < min || value > max) {
    throw new ConfigError(`${name} must be a ${whole ? "whole " : ""}number from ${min} to ${max}`);
  }
  return value;
}

export function databaseUrl(env) {
  const text = env.DATABASE_URL;
  // The value holds a password, so an error never repeats it.
  if (!text || !URL.canParse(text) || !["postgres:", "postgresql:"].includes(new URL(text).protocol)) {
    throw new ConfigError("DATABASE_URL must look like postgresql://user:password@host:5432/database");
  }
  return new URL(text);
}

export function loadConfig(env = process.env) {
  const logLevel = env.LOG_LEVEL || "info";
  if (!LOG_LEVELS.includes(logLevel)) {
    throw new ConfigError(`LOG_LEVEL must be one of ${LOG_LEVELS.join(", ")}`);
  }
  return Object.freeze({
    databaseUrl: databaseUrl(env),
    concurrency: number(env, "CONCURRENCY", 1, { min: 1, max: 15 }),
    pollSeconds: number(env, "POLL_SECONDS", 1, { min: 0.01, max: 60, whole: false }),
    jobTimeoutSeconds: number(env, "JOB_TIMEOUT_SECONDS", 60, { min: 1, max: 3600 }),
    keepDays: number(env, "KEEP_DAYS", 30, { min: 1, max: 3650 }),
    shutdownGraceSeconds: number(env, "SHUTDOWN_GRACE_SECONDS", 25, { min: 0, max: 3600 }),
    heartbeatFile: env.HEARTBEAT_FILE || null,
    logLevel,
  });
}
