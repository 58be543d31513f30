import js from "@eslint/js";
import globals from "globals";

export default [
  { ignores: ["static/dist/"] },
  js.configs.recommended,
  {
    files: ["static/js/**/*.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.browser },
    rules: { eqeqeq: "error", "prefer-const": "error", "no-var": "error" },
  },
  {
    files: ["static/build.js", "eslint.config.js"],
    languageOptions: { ecmaVersion: 2024, sourceType: "module", globals: globals.node },
  },
];
