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

const MOMENT_S = 4;
const MINUTE_S = 55; // from here on, minutes are spoken of
const SLACK_MIN = 0.2; // seconds past a whole minute that are not worth another one

/** A length of time in kind words, never more exact than it is known. */
export function duration(seconds) {
  if (seconds < MOMENT_S) return t("time.moment");
  if (seconds < MINUTE_S) return t("time.seconds", { n: seconds < 15 ? Math.round(seconds) : Math.round(seconds / 5) * 5 });
  return t("time.minutes", minutes(Math.max(1, Math.round(seconds / 60))));
}

/** An expected wait, from its two ends: never a promise of less than the later one. */
export function span(low, high) {
  const to = end(Math.max(low, high), Math.ceil);
  const from = end(low, Math.floor);
  if (high < MOMENT_S && low < MOMENT_S) return t("time.moment");
  if (from.n === 0) return t("time.within", { n: to.n, time: t(to.key, to) });
  if (from.key !== to.key) return t("time.between", { from: t(from.key, from), to: t(to.key, to) });
  if (from.n === to.n) return t("time.about", { time: t(to.key, to) });
  return t("time.about", { time: t(`${to.key}.range`, { n: to.n, from: from.count, to: to.count }) });
}

/** One end of a wait in coarse steps, so that its words seldom change: {key, n, count}, `count` as it is written. */
function end(seconds, toWhole) {
  const slack = toWhole === Math.ceil ? -SLACK_MIN : SLACK_MIN;
  if (seconds >= MINUTE_S) return { key: "time.minutes", ...minutes(Math.max(1, toWhole(seconds / 60 + slack))) };
  const step = seconds < 20 ? 5 : 10;
  const n = toWhole(seconds / step) * step;
  if (n >= 60) return { key: "time.minutes", ...minutes(1) };
  return { key: "time.seconds", n, count: n };
}

const minutes = (n) => ({ n, count: has(`number.${n}`) ? t(`number.${n}`) : n });

const regional = () => navigator.languages.find((one) => one.toLowerCase().startsWith(language)) ?? language;

export const date = (epoch) =>
  new Intl.DateTimeFormat(regional(), { day: "numeric", month: "short", year: "numeric" }).format(epoch * 1000);

/** A day, a month or a year, as a document is dated: "2024-05-02", "2024-05", "2024"; anything else stays as it is. */
export function dated(iso) {
  const [, year, month, day] = /^(\d{4})(?:-(\d\d))?(?:-(\d\d))?/.exec(iso) ?? [];
  if (!year) return iso;
  const parts = { year: "numeric", ...(month && { month: "short" }), ...(day && { day: "numeric" }) };
  return new Intl.DateTimeFormat(regional(), { ...parts, timeZone: "UTC" }).format(Date.UTC(year, (month ?? 1) - 1, day ?? 1));
}

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
