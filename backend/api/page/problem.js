// What went wrong, in words, with the way on.

import { h } from "./dom.js";
import { duration, has, t } from "./i18n.js";
import { say } from "./live.js";

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
  if (button && problem.retryAfter >= 1) box.append(countDown(problem, button));
  if (edit) box.append(h("button", { type: "button", class: "edit", onclick: edit }, t("app.edit")));
  if (button) box.append(button);
  box.append(h("p", { class: "code" }, problem.code));
  return box;
}

/** A line that says when to try again; `button` can be pressed from then on. */
function countDown(problem, button) {
  problem.until ??= performance.now() + Math.min(problem.retryAfter, LONGEST_COUNTDOWN_S) * 1000;
  const line = h("p", { class: "when", "aria-live": "off" });
  const secondsLeft = () => Math.ceil((problem.until - performance.now()) / 1000);
  const paint = () => {
    const seconds = secondsLeft();
    button.disabled = seconds > 0;
    const words = seconds > 0 ? t("error.wait", { time: duration(seconds) }) : t("error.now");
    if (line.textContent !== words) line.textContent = words;
  };
  const timer = setInterval(() => {
    paint();
    if (line.isConnected && secondsLeft() <= 0) say(t("error.now"));
    if (!line.isConnected || secondsLeft() <= 0) clearInterval(timer);
  }, 1000);
  paint();
  return line;
}
