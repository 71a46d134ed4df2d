// Words, in the reader's language.

import { en } from "./words.en.js";
import { fr } from "./words.fr.js";

const WORDS = { en, fr };
const KEY = "libri.lang";

const stored = () => {
  try {
    return localStorage.getItem(KEY);
  } catch {
    return null; // storage may be forbidden
  }
};

let language = WORDS[stored()] ? stored() : navigator.language.toLowerCase().startsWith("fr") ? "fr" : "en";
const listeners = new Set();

export const lang = () => language;

/** Called with no argument whenever the language changes. */
export const onLanguage = (listener) => listeners.add(listener);

export function setLanguage(next) {
  language = next;
  try {
    localStorage.setItem(KEY, next);
  } catch {
    // kept for this page only
  }
  apply();
  for (const listener of listeners) listener();
}

/** The phrase `key`; `{name}` is filled in, and a phrase in forms is chosen by `n`. */
export function t(key, values = {}) {
  let phrase = WORDS[language][key] ?? en[key] ?? key;
  if (typeof phrase === "object") phrase = phrase[new Intl.PluralRules(language).select(values.n)] ?? phrase.other;
  return phrase.replace(/\{(\w+)\}/g, (_, name) => values[name] ?? "");
}

export const has = (key) => key in en;

/** A length of time in kind words, never more exact than it is known. */
export function duration(seconds) {
  if (seconds < 4) return t("time.moment");
  if (seconds < 55) return t("time.seconds", { n: seconds < 15 ? Math.round(seconds) : Math.round(seconds / 5) * 5 });
  return t("time.minutes", { n: Math.max(1, Math.round(seconds / 60)) });
}

/** An expected wait, from its two ends. */
export function span(low, high) {
  const [from, to] = [duration(low), duration(Math.max(low, high))];
  if (to === t("time.moment")) return to;
  return from === to ? t("time.about", { time: to }) : t("time.between", { from, to });
}

const regional = () => navigator.languages.find((one) => one.toLowerCase().startsWith(language)) ?? language;

export const date = (epoch) =>
  new Intl.DateTimeFormat(regional(), { day: "numeric", month: "short", year: "numeric" }).format(epoch * 1000);

export function size(bytes) {
  const unit = bytes < 1e3 ? "byte" : bytes < 1e6 ? "kilobyte" : "megabyte";
  const value = bytes / { byte: 1, kilobyte: 1e3, megabyte: 1e6 }[unit];
  return new Intl.NumberFormat(language, { style: "unit", unit, maximumFractionDigits: value < 10 ? 1 : 0 }).format(value);
}

export const number = (value) => new Intl.NumberFormat(language, { maximumFractionDigits: 1 }).format(value);

/** Puts words into every element that names one: data-t (text), data-t-label, data-t-placeholder. */
export function apply(root = document) {
  document.documentElement.lang = language;
  for (const node of root.querySelectorAll("[data-t]")) node.textContent = t(node.dataset.t);
  for (const node of root.querySelectorAll("[data-t-label]")) {
    node.setAttribute("aria-label", t(node.dataset.tLabel));
    node.title = t(node.dataset.tLabel);
  }
  for (const node of root.querySelectorAll("[data-t-placeholder]")) node.placeholder = t(node.dataset.tPlaceholder);
}
