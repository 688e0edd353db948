// The messages of PostgreSQL's protocol 3.0 that a client needs, to bytes and back (PostgreSQL documentation, "Message
// Formats"). Values travel as text.

const PROTOCOL_3_0 = 196608;

const int16 = (value) => {
  const bytes = Buffer.alloc(2);
  bytes.writeInt16BE(value);
  return bytes;
};

const int32 = (value) => {
  const bytes = Buffer.alloc(4);
  bytes.writeInt32BE(value);
  return bytes;
};

const text = (value) => {
  if (value.includes("\0")) {
    throw new TypeError("PostgreSQL takes no text with a NUL in it");
  }
  return Buffer.from(value, "utf8");
};

const terminated = (value) => Buffer.concat([text(value), Buffer.alloc(1)]);

function message(type, ...parts) {
  const body = Buffer.concat(parts);
  return Buffer.concat([Buffer.from(type), int32(body.length + 4), body]);
}

/** A parameter as PostgreSQL reads it; null stays null. */
function encoded(value) {
  if (value === null || value === undefined) {
    return null;
  }
  if (Array.isArray(value)) {
    const quoted = (element) => `"${String(element).replace(/["\\]/g, "\\$&")}"`;
    return text(`{${value.map((element) => (element === null ? "NULL" : quoted(element))).join(",")}}`);
  }
  if (value instanceof Date) {
    return text(value.toISOString());
  }
  return text(typeof value === "object" ? JSON.stringify(value) : String(value));
}

export const SSL_REQUEST = Buffer.concat([int32(8), int32(80877103)]);
export const TERMINATE = message("X");

export function startup(parameters) {
  const pairs = Object.entries(parameters).flatMap(([name, value]) => [terminated(name), terminated(value)]);
  const body = Buffer.concat([int32(PROTOCOL_3_0), ...pairs, Buffer.alloc(1)]);
  return Buffer.concat([int32(body.length + 4), body]);
}

export const password = (value) => message("p", terminated(value));

export function saslFirst(mechanism, first) {
  return message("p", terminated(mechanism), int32(Buffer.byteLength(first)), text(first));
}

export const saslNext = (value) => message("p", text(value));

/** One statement with its parameters, from Parse to Sync. */
export function statement(sql, parameters) {
  const values = parameters.map(encoded).flatMap((value) => (value ? [int32(value.length), value] : [int32(-1)]));
  return Buffer.concat([
    message("P", terminated(""), terminated(sql), int16(0)),
    message("B", terminated(""), terminated(""), int16(0), int16(parameters.length), ...values, int16(0)),
    message("D", Buffer.from("P"), terminated("")),
    message("E", terminated(""), int32(0)),
    message("S"),
  ]);
}

const DECODERS = {
  16: (value) => value === "t", // boolean
  21: Number, // smallint
  23: Number, // integer
  114: JSON.parse,
  3802: JSON.parse, // jsonb
  701: Number, // double precision
  1184: (value) => new Date(value.replace(" ", "T").replace(/\+00$/, "Z")), // timestamptz; our sessions are in UTC
};

/** RowDescription: what to do with each column. */
export function columns(body) {
  const found = [];
  for (let at = 2; at < body.length; at += 18) {
    const end = body.indexOf(0, at);
    const name = body.toString("utf8", at, end);
    at = end + 1;
    found.push({ name, decode: DECODERS[body.readInt32BE(at + 6)] ?? ((value) => value) });
  }
  return found;
}

/** DataRow: an object with a value for each column. */
export function row(body, description) {
  let at = 2;
  const values = description.map(({ name, decode }) => {
    const length = body.readInt32BE(at);
    at += 4;
    if (length < 0) {
      return [name, null];
    }
    at += length;
    return [name, decode(body.toString("utf8", at - length, at))];
  });
  return Object.fromEntries(values);
}

/** ErrorResponse: its fields by their letters, of which C is the code and M the message. */
export function errorFields(body) {
  const fields = {};
  for (let at = 0; body[at] !== 0 && at < body.length; ) {
    const end = body.indexOf(0, at + 1);
    fields[String.fromCharCode(body[at])] = body.toString("utf8", at + 1, end);
    at = end + 1;
  }
  return fields;
}

/** Splits a stream of bytes into messages; calls `take(type, body)` for each. */
export function createReader(take) {
  let rest = Buffer.alloc(0);
  return (chunk) => {
    rest = rest.length === 0 ? chunk : Buffer.concat([rest, chunk]);
    while (rest.length >= 5) {
      const length = rest.readInt32BE(1) + 1;
      if (rest.length < length) {
        return;
      }
      const [type, body] = [String.fromCharCode(rest[0]), rest.subarray(5, length)];
      rest = rest.subarray(length);
      take(type, body);
    }
  };
}
