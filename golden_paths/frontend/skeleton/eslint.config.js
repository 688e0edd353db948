const nodeGlobals = {
  AbortController: "readonly",
  AbortSignal: "readonly",
  Buffer: "readonly",
  URL: "readonly",
  clearTimeout: "readonly",
  fetch: "readonly",
  process: "readonly",
  setImmediate: "readonly",
  setTimeout: "readonly",
};

const browserGlobals = {
  FormData: "readonly",
  document: "readonly",
  fetch: "readonly",
  window: "readonly",
};

const rules = {
  "consistent-return": "error",
  curly: "error",
  eqeqeq: "error",
  "no-constant-condition": "error",
  "no-duplicate-imports": "error",
  "no-eval": "error",
  "no-fallthrough": "error",
  "no-implicit-coercion": "error",
  "no-shadow": "error",
  "no-undef": "error",
  "no-unreachable": "error",
  "no-unused-vars": ["error", { argsIgnorePattern: "^_" }],
  "no-var": "error",
  "object-shorthand": "error",
  "prefer-const": "error",
  "prefer-template": "error",
};

const shared = {
  linterOptions: { reportUnusedDisableDirectives: "error" },
  rules,
};

export default [
  { ignores: ["node_modules/", "dist/", "coverage/"] },
  {
    ...shared,
    files: ["src/**/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: browserGlobals },
  },
  {
    ...shared,
    files: ["*.js", "build/**/*.js", "server/**/*.js", "test/**/*.js"],
    languageOptions: { ecmaVersion: 2023, sourceType: "module", globals: nodeGlobals },
  },
];
