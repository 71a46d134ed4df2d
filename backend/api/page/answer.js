// The text of one answer as it grows: finished blocks as HTML from the server, the unfinished one as plain text.

import { markdown } from "./api.js";
import { Blocks } from "./blocks.js";
import { h, oncePerFrame } from "./dom.js";
import { say } from "./live.js";

const RENDER_EVERY_MS = 350;
const AFTER_FAILURE_MS = 1500;
const LONGEST_RENDER = 60_000; // characters the server takes at once
const FINAL_ATTEMPTS = 3;
const LIST_MARK = /^([ \t]*)[-+*](?= )/gm;

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Sanitised HTML as a fragment; parsed in a document of its own, where nothing loads or runs. */
function fragmentOf(html) {
  const fragment = document.createDocumentFragment();
  fragment.append(...new DOMParser().parseFromString(html, "text/html").body.childNodes);
  return fragment;
}

export class Answer {
  element = h("div", { class: "answer" });
  text = "";
  #spoken;
  #decorate;
  #grown;
  #blocks;
  #shown; // characters of `text` in the page
  #plain; // finished blocks without HTML yet: [{element, text}]
  #html; // all HTML shown so far; null: some block is too long to have any
  #tail;
  #edition = 0; // counts resets, so that late HTML of an earlier text is dropped
  #rendering = false;
  #ended = false;
  #frame = oncePerFrame(() => this.#flush());

  /**
   * @param {boolean} spoken whether a screen reader is told what is added
   * @param {(fragment: DocumentFragment) => void} decorate sees every piece of new HTML before it is shown
   * @param {() => void} grown called after every change of size
   */
  constructor({ spoken, decorate, grown }) {
    this.#spoken = spoken;
    this.#decorate = decorate;
    this.#grown = grown;
    this.reset("");
  }

  /** Forgets everything and shows `text`. */
  reset(text) {
    this.#edition++;
    this.#blocks = new Blocks();
    this.text = "";
    this.#shown = 0;
    this.#html = "";
    this.#plain = [];
    this.#tail = document.createTextNode("");
    this.element.replaceChildren(h("div", { class: "tail" }, this.#tail));
    if (text) this.append(text);
  }

  append(text) {
    this.text += text;
    this.#frame();
  }

  /** No more text comes: the whole becomes HTML. */
  async finish() {
    this.#flush();
    this.#ended = true;
    this.element.classList.add("ended");
    for (let attempt = 0; attempt < FINAL_ATTEMPTS && !(await this.#renderWhole()); attempt++) {
      await wait(AFTER_FAILURE_MS * 2 ** attempt);
    }
  }

  #flush() {
    const fresh = this.text.slice(this.#shown);
    if (!fresh) return;
    this.#shown = this.text.length;
    this.#tail.appendData(fresh);
    const finished = this.#blocks.push(fresh);
    if (!this.#blocks.inFence) this.#dress(fresh.length);
    const length = finished - (this.text.length - this.#tail.length);
    if (length > 0) {
      this.#cut(length);
      this.#renderBlocks();
    }
    this.#grown();
  }

  /** Bullets for the list marks in the last `length` characters; the text keeps its length and the reader's selection. */
  #dress(length) {
    const shown = this.#tail.data;
    const from = shown.lastIndexOf("\n", shown.length - length - 1) + 1;
    for (const { index, 1: indent } of shown.slice(from).matchAll(LIST_MARK)) {
      this.#tail.replaceData(from + index + indent.length, 1, "•");
    }
  }

  #cut(length) {
    const from = this.#shown - this.#tail.length;
    const text = this.text.slice(from, from + length);
    const element = h("div", { class: "tail" }, this.#tail.substringData(0, length).trimEnd());
    this.#tail.parentElement.before(element);
    this.#tail.deleteData(0, length);
    this.#plain.push({ element, text });
  }

  async #renderBlocks() {
    if (this.#rendering) return;
    this.#rendering = true;
    const edition = this.#edition;
    while (this.#plain.length && !this.#ended) {
      const batch = this.#batch();
      const html = await this.#render(batch.map((block) => block.text).join(""));
      if (edition !== this.#edition || this.#ended) break;
      if (html !== null) this.#put(this.#plain.splice(0, batch.length), html);
      await wait(html === null ? AFTER_FAILURE_MS : RENDER_EVERY_MS);
    }
    this.#rendering = false;
    if (edition !== this.#edition && this.#plain.length) this.#renderBlocks();
  }

  #batch() {
    let length = 0;
    const end = this.#plain.findIndex((block) => (length += block.text.length) > LONGEST_RENDER);
    return this.#plain.slice(0, end < 0 ? undefined : Math.max(1, end));
  }

  async #render(text) {
    if (text.length > LONGEST_RENDER) return null;
    return (await markdown(text).catch(() => null))?.html ?? null;
  }

  #put(blocks, html) {
    const fragment = fragmentOf(html);
    if (this.#spoken) say(fragment.textContent);
    this.#decorate(fragment);
    blocks[0].element.before(fragment);
    for (const { element } of blocks) element.remove();
    this.#html += html;
    this.#grown();
  }

  /** Whether nothing is left to do. What is shown already stays in place if the whole begins the same way. */
  async #renderWhole() {
    const edition = this.#edition;
    if (!this.text.trim()) return true;
    if (this.text.length > LONGEST_RENDER) return this.#renderRest();
    const html = await this.#render(this.text);
    if (edition !== this.#edition) return true;
    if (html === null) return false;
    const rest = [...this.#plain.splice(0), { element: this.#tail.parentElement }];
    if (html.startsWith(this.#html)) this.#put(rest, html.slice(this.#html.length));
    else this.#replaceAll(html);
    return true;
  }

  async #renderRest() {
    if (this.#tail.length) this.#cut(this.#tail.length);
    this.#tail.parentElement?.remove();
    while (this.#plain.length) {
      const batch = this.#batch();
      const text = batch.map((block) => block.text).join("");
      const html = await this.#render(text);
      if (html === null && text.length <= LONGEST_RENDER) return false;
      const blocks = this.#plain.splice(0, batch.length);
      if (html !== null) this.#put(blocks, html);
    }
    return true;
  }

  #replaceAll(html) {
    const fragment = fragmentOf(html);
    this.#decorate(fragment);
    this.element.replaceChildren(fragment);
    this.#html = html;
    this.#grown();
  }
}
