// Where Markdown that is still being written has ended for good.

const FENCE = /^\s*(`{3,}|~{3,})/;
const LIST_START = /^\s*([-+*]|\d{1,9}[.)])(\s|$)/;
const MAYBE_LIST = /^[\d\-+*]/;
const LONGEST_MARKER = 12;

/** Feed it text as it comes; `push` gives how many characters, from the start, are in finished blocks. */
export class Blocks {
  #line = "";
  #read = 0; // characters in complete lines
  #fence = null;
  #blank = false; // the last complete line was blank and outside a fence
  #inList = false; // a list has begun since the last finished block: its next item may be still to come
  #finished = 0;

  /** Whether what comes next is inside a code fence. */
  get inFence() {
    return this.#fence !== null;
  }

  push(text) {
    let from = 0;
    for (let end; (end = text.indexOf("\n", from)) >= 0; from = end + 1) {
      this.#line += text.slice(from, end);
      this.#decide(true);
      this.#complete();
    }
    this.#line += text.slice(from);
    this.#decide(false);
    return this.#finished;
  }

  #decide(whole) {
    const line = this.#line;
    if (!this.#blank || this.#fence || line.trim() === "") return;
    const indented = /^\s/.test(line);
    const undecided = this.#inList && !whole && MAYBE_LIST.test(line) && line.length < LONGEST_MARKER;
    if (undecided) return;
    this.#blank = false;
    if (indented || (this.#inList && LIST_START.test(line))) return;
    this.#finished = this.#read;
    this.#inList = false;
  }

  #complete() {
    const line = this.#line;
    const mark = FENCE.exec(line)?.[1];
    if (!this.#fence && LIST_START.test(line)) this.#inList = true;
    if (this.#fence) {
      const closes = mark && mark[0] === this.#fence[0] && mark.length >= this.#fence.length && line.trim() === mark;
      if (closes) this.#fence = null;
      this.#blank = false;
    } else if (mark) {
      this.#fence = mark;
      this.#blank = false;
    } else if (line.trim() === "") this.#blank = true;
    this.#read += line.length + 1;
    this.#line = "";
  }
}
