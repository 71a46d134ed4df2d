// Below an answer: copy it, say whether it helped.

import { rate } from "./api.js";
import { h, icon } from "./dom.js";
import { t } from "./i18n.js";
import { problemWords } from "./problem.js";

export class Feedback {
  #turn;
  #rating = null;
  #asking = false;
  #note = h("span", { class: "quiet", role: "status" });
  #element = h("div", { class: "actions" });
  #draft = "";

  constructor(turn) {
    this.#turn = turn;
  }

  paint() {
    const nodes = [this.#button("copy", () => this.#copy())];
    for (const rating of ["up", "down"]) {
      const button = this.#button(rating, () => this.#rate(rating));
      button.setAttribute("aria-pressed", String(this.#rating === rating));
      nodes.push(button);
    }
    nodes.push(this.#note);
    if (this.#asking) nodes.push(this.#form());
    this.#element.replaceChildren(...nodes);
    return this.#element;
  }

  #button(name, act) {
    const label = t(`answer.${name}`);
    const attributes = { type: "button", class: `tool ${name}`, "aria-label": label, title: label, onclick: act };
    return h("button", attributes, icon(name));
  }

  #form() {
    const field = h("textarea", { rows: "2", maxlength: "2000", "aria-label": t("answer.reason"), placeholder: t("answer.reason") });
    field.value = this.#draft;
    field.addEventListener("input", () => (this.#draft = field.value));
    const send = (event) => {
      event.preventDefault();
      this.#asking = false;
      this.#send("down", field.value.trim());
    };
    return h("form", { class: "reason", onsubmit: send }, field, h("button", { type: "submit" }, t("answer.reason.send")));
  }

  async #copy() {
    try {
      await navigator.clipboard.writeText(this.#turn.answer.text);
      this.#say(t("answer.copied"));
    } catch {
      getSelection().selectAllChildren(this.#turn.answer.element); // not allowed here: at least it is selected
    }
  }

  #rate(rating) {
    this.#asking = rating === "down";
    this.#send(rating, "");
  }

  async #send(rating, reason) {
    const before = this.#rating;
    this.#rating = rating;
    this.paint();
    this.#element.querySelector(this.#asking ? "textarea" : `.${rating}`).focus({ preventScroll: true });
    if (this.#asking) this.#element.scrollIntoView({ block: "nearest" });
    try {
      await rate(this.#turn.run, rating, reason);
      this.#say(rating === "up" || reason ? t("answer.thanks") : "");
    } catch (problem) {
      this.#rating = before;
      this.#say(problemWords(problem));
      this.paint();
    }
  }

  #say(words) {
    this.#note.textContent = words;
  }
}
