// Where a file of the site is found; the build looks for links that lead nowhere with the same rule that answers them.

import { basename, dirname, extname } from "node:path";

/** The addresses of a file: a page has one without `.html`, and a folder's index the folder's as well. */
export function addressesOf(path) {
  if (extname(path) !== ".html") {
    return [`/${path}`];
  }
  const bare = path.slice(0, -".html".length);
  if (basename(bare) !== "index") {
    return [`/${path}`, `/${bare}`];
  }
  const folder = dirname(path);
  return folder === "." ? ["/", "/index.html"] : [`/${path}`, `/${folder}`, `/${folder}/`];
}
