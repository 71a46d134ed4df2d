// What a screen reader is told, politely and once.

import { byId, h } from "./dom.js";

const MOST_LINES = 30;

export function say(text) {
  const said = text.trim();
  if (!said) return;
  const region = byId("live");
  region.append(h("p", {}, said));
  while (region.childElementCount > MOST_LINES) region.firstElementChild.remove();
}
