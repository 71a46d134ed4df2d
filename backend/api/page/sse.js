// Server-sent events out of a byte stream: the WHATWG rules, for a stream that EventSource cannot open (a POST).

const DIGITS = /^\d+$/;

/** Feed it text as it comes, in any cut; it gives the events completed so far as {event, data, id}. */
export class SseParser {
  retryMs = null;
  #rest = "";
  #first = true;
  #afterCr = false;
  #event = "";
  #data = [];
  #id = "";

  push(text) {
    const events = [];
    if (this.#first && text) {
      this.#first = false;
      if (text.charCodeAt(0) === 0xfeff) text = text.slice(1);
    }
    if (this.#afterCr && text) {
      this.#afterCr = false;
      if (text[0] === "\n") text = text.slice(1);
    }
    let from = 0;
    const ends = /\r\n|\n|\r/g;
    for (let end; (end = ends.exec(text)); from = ends.lastIndex) {
      const line = this.#rest + text.slice(from, end.index);
      this.#rest = "";
      this.#afterCr = end[0] === "\r" && ends.lastIndex === text.length;
      const event = this.#line(line);
      if (event) events.push(event);
    }
    this.#rest += text.slice(from);
    return events;
  }

  #line(line) {
    if (line === "") return this.#dispatch();
    const colon = line.indexOf(":");
    if (colon === 0) return null;
    const field = colon < 0 ? line : line.slice(0, colon);
    let value = colon < 0 ? "" : line.slice(colon + 1);
    if (value[0] === " ") value = value.slice(1);
    if (field === "data") this.#data.push(value);
    else if (field === "event") this.#event = value;
    else if (field === "id" && !value.includes("\0")) this.#id = value;
    else if (field === "retry" && DIGITS.test(value)) this.retryMs = Number(value);
    return null;
  }

  #dispatch() {
    const event = { event: this.#event || "message", data: this.#data.join("\n"), id: this.#id };
    const empty = this.#data.length === 0;
    this.#event = "";
    this.#data = [];
    return empty ? null : event;
  }
}

/** Events of a fetch response, one by one; `onBytes` is called for every chunk, heartbeats included. */
export async function* readEvents(response, parser, onBytes = () => {}) {
  const reader = response.body.getReader();
  const decoder = new TextDecoder();
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) return;
      onBytes();
      yield* parser.push(decoder.decode(value, { stream: true }));
    }
  } finally {
    reader.cancel().catch(() => {});
  }
}
