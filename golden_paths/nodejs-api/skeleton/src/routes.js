// Your API begins here. A handler gets { params, query, readJson, log } and returns what to answer as JSON, or
// { status, headers, body } for anything but a plain 200. Throw an HttpError for an answer that is an error.

import { HttpError } from "./router.js";

export const routes = {
  "GET /": () => ({ name: process.env.npm_package_name ?? "api", message: "It works. Edit src/routes.js." }),

  "GET /greetings/:name": ({ params }) => ({ greeting: `Hello, ${params.name}!` }),

  "POST /greetings": async ({ readJson, log }) => {
    const { name } = await readJson();
    if (typeof name !== "string" || name.trim() === "") {
      throw new HttpError(422, "`name` must be a string that is not empty");
    }
    log.info("greeting made", { length: name.length });
    return { status: 201, body: { greeting: `Hello, ${name.trim()}!` } };
  },
};
