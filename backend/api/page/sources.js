// The list of sources under an answer: those it cites, and behind a fold those it only had before it.

import { h } from "./dom.js";
import { t } from "./i18n.js";

export function sourceList(sources, citations, { anchor, open }) {
  const cited = sources.filter((source) => citations.includes(source.n));
  const others = sources.filter((source) => !citations.includes(source.n));
  const list = (some) => h("ol", {}, ...some.map((source) => item(source, { anchor, open })));
  const nodes = [];
  if (cited.length) nodes.push(h("section", { class: "sources" }, h("h3", {}, t("sources.title")), list(cited)));
  if (others.length) {
    const words = cited.length ? "sources.more" : "sources.read";
    nodes.push(h("details", { class: "sources" }, h("summary", {}, t(words, { n: others.length })), list(others)));
  }
  return nodes;
}

/** Where in its document a source stands, in words. */
export function place({ name, title, heading, page }) {
  const under = heading.split(" > ").filter((one) => one !== title); // the title heads most documents
  const parts = [under.join(" > "), page && t("sources.page", { n: page }), name !== title && name];
  return parts.filter(Boolean).join(" · ");
}

function item(source, { anchor, open }) {
  const button = h(
    "button",
    { type: "button", class: "source", "aria-expanded": "false", onclick: () => open(source, button) },
    h("span", { class: "number" }, String(source.n)),
    h("span", { class: "what" }, h("span", { class: "title" }, source.title || source.name), h("span", { class: "place" }, place(source))),
  );
  return h("li", { id: anchor(source.n) }, button);
}
