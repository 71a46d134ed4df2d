// The reader's place: new text is followed only while the end is in view.

import { byId } from "./dom.js";

const NEAR_PX = 48;

export class Scroll {
  #area = byId("scroll");
  #button = byId("latest");
  #following = true;

  constructor() {
    this.#area.addEventListener("scroll", () => this.#look(), { passive: true });
    this.#button.addEventListener("click", () => {
      this.toEnd();
      byId("question").focus({ preventScroll: true });
    });
    new ResizeObserver(() => this.grown()).observe(this.#area);
  }

  /** Call when something was added below. */
  grown() {
    if (this.#following && this.#filled) this.#area.scrollTop = this.#area.scrollHeight;
    this.#show();
  }

  toEnd() {
    this.#following = true;
    this.grown();
  }

  #look() {
    const { scrollTop, scrollHeight, clientHeight } = this.#area;
    this.#following = scrollHeight - scrollTop - clientHeight < NEAR_PX;
    this.#show();
  }

  #show() {
    this.#button.hidden = this.#following || !this.#filled;
  }

  get #filled() {
    return byId("turns").childElementCount > 0;
  }
}
