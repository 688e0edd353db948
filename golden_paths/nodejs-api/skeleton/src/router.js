// Routes are written "GET /orders/:id". A path that exists under another method answers 405 with `Allow`, an unknown
// one 404.

export class HttpError extends Error {
  constructor(status, title, headers = {}) {
    super(title);
    this.status = status;
    this.headers = headers;
  }
}

function match(segments, path) {
  const parts = path.split("/");
  if (parts.length !== segments.length) {
    return null;
  }
  const params = {};
  for (const [index, segment] of segments.entries()) {
    if (segment.startsWith(":") && parts[index] !== "") {
      try {
        params[segment.slice(1)] = decodeURIComponent(parts[index]);
      } catch {
        throw new HttpError(400, "The path is not valid percent-encoding");
      }
    } else if (segment !== parts[index]) {
      return null;
    }
  }
  return params;
}

export function createRouter(routes) {
  const table = Object.entries(routes).map(([key, handler]) => {
    const [method, path] = key.split(" ");
    return { method, path, segments: path.split("/"), handler };
  });
  return (method, path) => {
    const allowed = new Set();
    for (const route of table) {
      const params = match(route.segments, path);
      // What answers GET answers HEAD: node:http leaves the body out by itself.
      if (params && (route.method === method || (route.method === "GET" && method === "HEAD"))) {
        return { handler: route.handler, params, path: route.path };
      }
      if (params) {
        allowed.add(route.method);
      }
    }
    if (allowed.size > 0) {
      throw new HttpError(405, "Method not allowed", { allow: [...allowed].sort().join(", ") });
    }
    throw new HttpError(404, "Not found");
  };
}
