/** Keys: each has one action, and the dialog of `?` lists them. */

import { find, make } from "./dom.js";

/** @typedef {{keys: string, text: string, run: () => void}} Key */

/**
 * @param {Key[]} table `keys` as `Shift+ArrowLeft`, or one character
 */
export function bindKeys(table) {
  const actions = new Map(table.map((key) => [key.keys, key.run]));
  // After Enter or Escape in a field, keys are keys again.
  document.addEventListener("submit", leaveField);
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") leaveField();
    if (event.ctrlKey || event.altKey || event.metaKey || isTyping(event.target)) return;
    // A button that has the focus takes Space and Enter itself.
    if (event.key === " " && event.target instanceof HTMLButtonElement) return;
    const isNamed = event.key.length > 1;
    const run = actions.get(event.shiftKey && isNamed ? `Shift+${event.key}` : event.key);
    if (!run) return;
    event.preventDefault();
    run();
  });
  find("keys", HTMLElement).replaceChildren(
    ...table.flatMap(({ keys, text }) => [
      make("dt", "", make("kbd", "", keys === " " ? "Space" : keys)),
      make("dd", "", text),
    ]),
  );
}

function leaveField() {
  const active = document.activeElement;
  if (active instanceof HTMLInputElement || active instanceof HTMLTextAreaElement) active.blur();
}

/**
 * @param {EventTarget | null} target
 * @returns {boolean}
 */
function isTyping(target) {
  if (document.querySelector("dialog[open]")) return true;
  if (target instanceof HTMLInputElement) return target.type !== "range";
  return target instanceof HTMLSelectElement || target instanceof HTMLTextAreaElement;
}
