// What went wrong, in words, with the way on.

import { h } from "./dom.js";
import { duration, has, t } from "./i18n.js";

const LONGEST_COUNTDOWN_S = 300;

/** The sentence for a problem's code; the server's own words only where we have none. */
export function problemWords({ code, detail, message }) {
  if (has(`error.${code}`)) return t(`error.${code}`);
  if (code.startsWith("engine")) return t("error.engine");
  return detail || message || t("error.internal");
}

/** A box with the message and a button: retry (once the wait is over) or edit. */
export function problemNode(problem, { kept, retry, edit }) {
  const words = h("p", {}, problemWords(problem), kept ? ` ${t("error.kept")}` : "");
  const box = h("div", { class: "problem", role: "alert" }, words);
  const button = retry ? h("button", { type: "button", class: "main retry", onclick: retry }, t("app.retry")) : null;
  if (edit) box.append(h("button", { type: "button", class: "edit", onclick: edit }, t("app.edit")));
  if (button) box.append(button);
  if (button && problem.retryAfter >= 1) countDown(problem, button);
  box.append(h("p", { class: "code" }, problem.code));
  return box;
}

function countDown(problem, button) {
  problem.until ??= performance.now() + Math.min(problem.retryAfter, LONGEST_COUNTDOWN_S) * 1000;
  const left = h("span", { class: "quiet", "aria-live": "off" });
  button.after(left);
  const tick = () => {
    const seconds = Math.ceil((problem.until - performance.now()) / 1000);
    button.disabled = seconds > 0;
    left.textContent = seconds > 0 ? t("error.wait", { time: duration(seconds) }) : "";
    if (seconds <= 0 || (timer && !left.isConnected)) clearInterval(timer);
  };
  const timer = setInterval(tick, 1000);
  queueMicrotask(tick);
}
