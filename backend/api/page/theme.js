// Colours: as on the device, light, or dark.

import { byId } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

const KEY = "libri.theme";
const ORDER = ["auto", "light", "dark"];

const current = () => document.documentElement.dataset.theme ?? "auto";

function choose(theme) {
  if (theme === "auto") delete document.documentElement.dataset.theme;
  else document.documentElement.dataset.theme = theme;
  try {
    localStorage.setItem(KEY, theme);
  } catch {
    // kept for this page only
  }
}

export function startTheme() {
  const button = byId("theme");
  const label = () => (button.textContent = t(`theme.${current()}`));
  button.addEventListener("click", () => {
    choose(ORDER[(ORDER.indexOf(current()) + 1) % ORDER.length]);
    label();
  });
  onLanguage(label);
  label();
}
