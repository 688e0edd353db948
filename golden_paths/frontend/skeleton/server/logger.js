// One JSON object a line on standard output.

const SEVERITY = { debug: 10, info: 20, warn: 30, error: 40 };

function plain(value) {
  return value instanceof Error ? { type: value.name, message: value.message, stack: value.stack } : value;
}

export function createLogger({ level = "info", write = (line) => process.stdout.write(line) } = {}) {
  const log = (severity, message, fields = {}) => {
    if (SEVERITY[severity] < SEVERITY[level]) {
      return;
    }
    const entry = { time: new Date().toISOString(), level: severity, message };
    for (const [key, value] of Object.entries(fields)) {
      entry[key] = plain(value);
    }
    write(`${JSON.stringify(entry)}\n`);
  };
  return Object.freeze({
    debug: (message, fields) => log("debug", message, fields),
    info: (message, fields) => log("info", message, fields),
    warn: (message, fields) => log("warn", message, fields),
    error: (message, fields) => log("error", message, fields),
  });
}
