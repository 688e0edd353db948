// What the page answers to a name.

export function greeting(name) {
  const who = name.trim();
  return who === "" ? "Who is there?" : `Hello, ${who}!`;
}
