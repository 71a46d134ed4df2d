// The list of conversations slides in on a narrow screen; on a wide one it is always there.

import { byId } from "./dom.js";

export function startSide() {
  const side = byId("side");
  const menu = byId("menu");
  const veil = byId("veil");
  const narrow = matchMedia("(max-width: 819px)");

  const set = (open) => {
    document.documentElement.classList.toggle("side-open", open);
    menu.setAttribute("aria-expanded", String(open));
    side.inert = narrow.matches && !open;
    document.querySelector("main").inert = narrow.matches && open;
    veil.hidden = !open;
  };
  const close = () => {
    const held = side.contains(document.activeElement);
    set(false);
    if (held && narrow.matches) menu.focus();
  };

  menu.addEventListener("click", () => {
    set(menu.getAttribute("aria-expanded") !== "true");
    if (!side.inert) side.querySelector("button").focus();
  });
  veil.addEventListener("click", close);
  addEventListener("keydown", (event) => {
    if (event.key !== "Escape" || veil.hidden) return;
    event.preventDefault();
    close();
  });
  narrow.addEventListener("change", () => set(false));
  set(false);
  return { close };
}
