// What must not be in a page: anything that the content security policy (`server/headers.js`) would block, and links
// that lead nowhere. Found when the site is built, not by a visitor.

import { tags } from "./html.js";

const LOADING = new Set(["audio", "embed", "iframe", "img", "input", "script", "source", "track", "video"]);

/** The address of what a tag makes the browser load by itself. */
function loadedBy({ name, attributes }) {
  return name === "link" ? attributes.href : LOADING.has(name) ? attributes.src : undefined;
}

function policyProblem(tag) {
  const { name, attributes, text } = tag;
  const handler = Object.keys(attributes).find((attribute) => attribute.startsWith("on"));
  if (handler) {
    return `has the inline handler ${handler}; add a listener in a script`;
  }
  if ("style" in attributes) {
    return "has an inline style; use a class";
  }
  if (name === "style") {
    return "is inline; move it to /assets/site.css";
  }
  if (name === "script" && (!attributes.src || text !== "")) {
    return "is inline; move it to a file in /assets/";
  }
  if (name === "base") {
    return "is not allowed";
  }
  const loaded = loadedBy(tag);
  if (loaded && (!loaded.startsWith("/") || loaded.startsWith("//"))) {
    return `loads ${loaded} from elsewhere; put a copy into /assets/`;
  }
  const target = attributes.href ?? attributes.action ?? "";
  return /^\s*javascript:/i.test(target) ? "runs a script from a link; add a listener in a script" : null;
}

/** Where a link of this site leads, or null where it leads elsewhere. */
function localTarget({ name, attributes }) {
  const href = name === "a" ? attributes.href : name === "form" ? attributes.action : undefined;
  return href?.startsWith("/") && !href.startsWith("//") ? href.split(/[?#]/, 1)[0] : null;
}

/** What is wrong with a page, a line each; `addresses` are those that the site has. */
export function problems(path, html, addresses) {
  const found = [];
  for (const tag of tags(html)) {
    const where = `${path}:${tag.line}: <${tag.name}>`;
    const problem = policyProblem(tag);
    if (problem) {
      found.push(`${where} ${problem}`);
    }
    const target = localTarget(tag);
    if (target !== null && !addresses.has(target)) {
      found.push(`${where} leads to ${target}, which does not exist`);
    }
  }
  return found;
}
