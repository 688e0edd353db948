// Enough of HTML to look a page over: its tags, in order, with their attributes and lines. It reads what we write
// ourselves; it is no parser for what others write.

const TAG = /<!--[\s\S]*?-->|<(\/?)([a-zA-Z][a-zA-Z0-9-]*)((?:[^>"']|"[^"]*"|'[^']*')*)>/g;
const ATTRIBUTE = /([^\s=/"'<>]+)(?:\s*=\s*(?:"([^"]*)"|'([^']*)'|([^\s"'>]+)))?/g;

export const escapeHtml = (text) =>
  text.replace(/[&<>"']/g, (character) => `&#${character.codePointAt(0)};`);

/** Every opening tag as { name, attributes, line, text }; `text` is what follows it up to the next tag. */
export function tags(html) {
  const found = [];
  for (const match of html.matchAll(TAG)) {
    if (match[2] === undefined || match[1] === "/") {
      continue;
    }
    const attributes = {};
    for (const [, name, ...values] of match[3].matchAll(ATTRIBUTE)) {
      attributes[name.toLowerCase()] = values.find((value) => value !== undefined) ?? "";
    }
    const end = match.index + match[0].length;
    const next = html.indexOf("<", end);
    found.push({
      name: match[2].toLowerCase(),
      attributes,
      line: html.slice(0, match.index).split("\n").length,
      text: html.slice(end, next < 0 ? undefined : next).trim(),
    });
  }
  return found;
}
