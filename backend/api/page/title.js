// What the tab says: waiting, writing, ready while the reader was away.

import { onLanguage, t } from "./i18n.js";

const NAME = "LibriAssist";
const STATES = { writing: "writing", done: "ready", failed: "problem", idle: null };

/** A function to be told of every phase of the turn in view. */
export function startTitle() {
  let state = null;
  const paint = () => (document.title = state ? `${t(`title.${state}`)} · ${NAME}` : NAME);
  const seen = () => {
    if (!document.hidden && (state === "ready" || state === "problem")) state = null;
    paint();
  };
  document.addEventListener("visibilitychange", seen);
  onLanguage(paint);
  return (phase) => {
    const next = phase in STATES ? STATES[phase] : "waiting";
    if (next === state) return;
    state = next;
    if (state === "ready") seen();
    else paint();
  };
}
