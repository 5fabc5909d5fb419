/** The dialog that asks for the token of the server. */

import { find } from "./dom.js";

/** @returns {Promise<string>} the token that a person gives */
export function askForToken() {
  const dialog = find("token-dialog", HTMLDialogElement);
  const input = find("token", HTMLInputElement);
  input.value = "";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(input.value), { once: true });
  });
}
