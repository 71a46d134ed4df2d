// The place in the queue and the expected wait: shown as it changes, said only now and then.

import { h } from "./dom.js";
import { lang, span, t } from "./i18n.js";

const SAID_EVERY_MS = 20_000;

export class Wait {
  element = h("span", { class: "wait" }, h("span"), h("span", { class: "quiet" }));
  #told = null; // {position, at, words}: what a screen reader heard last

  /** Shows a `queue` event; gives the words to say aloud, "" when it is not worth a word. */
  show({ position, eta_s: low, eta_high_s: high }) {
    const lines = [placeWords(position), Number.isFinite(high) ? timeWords(low, high) : ""];
    for (const [at, line] of lines.entries()) {
      const node = this.element.children[at];
      if (node.textContent !== line) node.textContent = line;
    }
    return this.#worthSaying(position, lines.join(" "));
  }

  #worthSaying(position, words) {
    const now = performance.now();
    const { at, words: before, position: was } = this.#told ?? { at: -Infinity };
    const isNextNow = position <= 1 && was > 1;
    if (words === before || (now - at < SAID_EVERY_MS && !isNextNow)) return "";
    this.#told = { position, at: now, words };
    return words;
  }
}

function timeWords(low, high) {
  const time = span(low, high);
  return time === t("time.moment") ? t("wait.soon") : t("wait.time", { time });
}

function placeWords(position) {
  if (position <= 1) return t("wait.next");
  const form = new Intl.PluralRules(lang(), { type: "ordinal" }).select(position);
  return t("wait.place", { place: t(`place.${form}`, { n: position }) });
}
