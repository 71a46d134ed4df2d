// The reader's conversations: open one, delete one.

import { conversations, deleteConversation } from "./api.js";
import { confirm } from "./confirm.js";
import { byId, h, icon } from "./dom.js";
import { onLanguage, t } from "./i18n.js";

export class ConversationList {
  #list = byId("conversations");
  #older = byId("older");
  #items = [];
  #current = null;
  #open;
  #gone;

  /** `open(id)` is called for the one chosen, `gone(id)` for the one deleted. */
  constructor({ open, gone }) {
    this.#open = open;
    this.#gone = gone;
    this.#older.addEventListener("click", () => this.#load(this.#items.at(-1)?.updated));
    onLanguage(() => this.#paint());
  }

  /** Reads the latest from the server; a failure leaves what is shown. */
  refresh() {
    return this.#load(null);
  }

  current(id) {
    this.#current = id;
    this.#paint();
  }

  async #load(before) {
    let read;
    try {
      read = (await conversations(before)).conversations;
    } catch {
      return; // the list is a convenience: the conversation itself says what is wrong
    }
    const known = new Set(read.map((one) => one.id));
    const others = this.#items.filter((one) => !known.has(one.id));
    this.#items = [...read, ...others].sort((a, b) => b.updated - a.updated);
    if (before || !others.length) this.#older.hidden = read.length < 30;
    this.#paint();
  }

  #paint() {
    this.#list.replaceChildren(...this.#items.map((one) => this.#item(one)));
    byId("conversations-empty").hidden = this.#items.length > 0;
  }

  #item(one) {
    const title = one.title || t("list.untitled");
    const label = t("list.delete", { title });
    const open = h("a", { href: `/?c=${encodeURIComponent(one.id)}`, class: "open", title }, title);
    if (one.id === this.#current) open.setAttribute("aria-current", "page");
    open.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return; // a new tab, as with any link
      event.preventDefault();
      this.#open(one.id);
    });
    const remove = h("button", { type: "button", class: "tool remove", "aria-label": label, title: label }, icon("trash"));
    remove.addEventListener("click", () => this.#remove(one, title));
    return h("li", {}, open, remove);
  }

  async #remove(one, title) {
    if (!(await confirm(t("list.confirm"), t("list.confirm.text", { title })))) return;
    try {
      await deleteConversation(one.id);
    } catch (problem) {
      if (problem.status !== 404) return;
    }
    this.#items = this.#items.filter((other) => other !== one);
    this.#paint();
    this.#gone(one.id);
  }
}
