// Where a question is written.

import { byId } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

export const LONGEST_QUESTION = 8000;
const COUNT_FROM = LONGEST_QUESTION - 500;

/** Length as the server counts it: a character outside the basic plane is one. */
function lengthOf(text) {
  return text.length < COUNT_FROM ? text.length : [...text].length;
}

export class Composer {
  #field = byId("question");
  #send = byId("send");
  #stop = byId("stop");
  #running = false;

  /** `ask(question)` and `stop()` are what the reader can do here. */
  constructor({ ask, stop }) {
    const submit = () => {
      const question = this.#field.value.trim();
      if (this.#running || !question || lengthOf(this.#field.value) > LONGEST_QUESTION) return;
      this.fill("");
      if (matchMedia("(hover: none)").matches) this.#field.blur(); // lowers the keyboard, which would hide the answer
      ask(question);
    };
    byId("composer").addEventListener("submit", (event) => {
      event.preventDefault();
      submit();
    });
    this.#field.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.shiftKey || event.isComposing || event.keyCode === 229) return; // 229: an input method is at work
      event.preventDefault();
      submit();
    });
    this.#field.addEventListener("input", () => this.#changed());
    this.#stop.addEventListener("click", stop);
    onLanguage(() => this.#changed());
    this.#changed();
  }

  fill(text) {
    this.#field.value = text;
    this.#changed();
  }

  focus() {
    this.#field.focus({ preventScroll: true });
  }

  running(yes) {
    const hadFocus = [this.#send, this.#stop].includes(document.activeElement);
    this.#running = yes;
    this.#send.hidden = yes;
    this.#stop.hidden = !yes;
    if (hadFocus) this.focus();
    this.#changed();
  }

  #changed() {
    const { style } = this.#field;
    style.height = "auto";
    style.height = `${this.#field.scrollHeight}px`; // its CSS max-height bounds it
    const left = LONGEST_QUESTION - lengthOf(this.#field.value);
    const count = byId("count");
    count.textContent = left > LONGEST_QUESTION - COUNT_FROM ? "" : t(left < 0 ? "ask.over" : "ask.left", { n: Math.abs(left) });
    count.classList.toggle("bad", left < 0);
    this.#field.setAttribute("aria-invalid", String(left < 0));
    this.#send.disabled = left < 0 || !this.#field.value.trim();
  }
}
