/** Dark or light: as the system has it, until a person chooses. */

import { find } from "./dom.js";

/**
 * @returns {() => void} changes it
 */
export function bindTheme() {
  const root = document.documentElement;
  const chosen = localStorage.getItem("theme");
  const isDark = matchMedia("(prefers-color-scheme: dark)").matches;
  root.dataset.theme = chosen ?? (isDark ? "dark" : "light");
  const toggle = () => {
    root.dataset.theme = root.dataset.theme === "dark" ? "light" : "dark";
    localStorage.setItem("theme", root.dataset.theme);
    document.dispatchEvent(new Event("themechange"));
  };
  find("theme", HTMLButtonElement).addEventListener("click", toggle);
  return toggle;
}
