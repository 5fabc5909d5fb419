import js from "@eslint/js";

const browser = [
  "window", "document", "localStorage", "matchMedia", "performance", "fetch", "URLSearchParams",
  "Event", "Path2D", "Intl", "ResizeObserver", "requestAnimationFrame", "getComputedStyle",
  "Element", "HTMLElement", "HTMLInputElement", "HTMLSelectElement", "HTMLButtonElement", "HTMLDivElement",
  "HTMLTableElement", "HTMLOListElement", "HTMLParagraphElement", "HTMLHeadingElement",
  "HTMLFormElement", "HTMLDialogElement", "HTMLOutputElement", "HTMLDataListElement",
  "HTMLCanvasElement", "HTMLSpanElement", "HTMLTextAreaElement", "HTMLDListElement", "Option",
  "navigator", "URL", "Blob", "SVGSVGElement", "SVGElement",
];

export default [
  js.configs.recommended,
  {
    languageOptions: { globals: Object.fromEntries(browser.map((name) => [name, "readonly"])) },
    rules: {
      complexity: ["error", 12],
      "consistent-return": "error",
      eqeqeq: "error",
      "max-len": ["error", { code: 100, ignoreUrls: true }],
      "max-lines": ["error", 300],
      "max-lines-per-function": ["error", 60],
      "no-eval": "error",
      "no-restricted-properties": [
        "error",
        { property: "innerHTML", message: "Text enters the page as text: see dom.js." },
        { property: "outerHTML", message: "Text enters the page as text: see dom.js." },
        { property: "insertAdjacentHTML", message: "Text enters the page as text: see dom.js." },
      ],
      "no-var": "error",
      "prefer-const": "error",
    },
  },
];
