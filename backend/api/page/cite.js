// `[1]` in an answer becomes a way to source 1.

import { h } from "./dom.js";
import { t } from "./i18n.js";

const THIN = "\u202f"; // so that a mark does not begin a line
const MARKS = /\[(\d{1,3}(?:\s*[,;]\s*\d{1,3})*)\]/g;

/** Replaces the citation marks of known sources below `root`; code and links are left alone. */
export function linkCitations(root, sources, { anchor, open }) {
  const walker = document.createTreeWalker(root, NodeFilter.SHOW_TEXT);
  const found = [];
  for (let node; (node = walker.nextNode()); ) {
    if (node.data.includes("[") && !node.parentElement?.closest("a, code, pre")) found.push(node);
  }
  for (const node of found) replaceIn(node, sources, { anchor, open });
  for (const link of root.querySelectorAll("a[href]:not(.cite)")) link.title = link.href; // where it really leads
}

function replaceIn(node, sources, links) {
  const parts = [];
  let from = 0;
  for (const mark of node.data.matchAll(MARKS)) {
    const numbers = mark[1].split(/[,;]/).map(Number);
    if (!numbers.every((n) => sources.has(n))) continue;
    parts.push(node.data.slice(from, mark.index).replace(/ $/, THIN), ...numbers.map((n) => link(sources.get(n), links)));
    from = mark.index + mark[0].length;
  }
  if (parts.length) node.replaceWith(...parts, node.data.slice(from));
}

function link(source, { anchor, open }) {
  const node = h("a", { class: "cite", href: `#${anchor(source.n)}` }, `[${source.n}]`);
  node.setAttribute("aria-label", t("sources.open", { n: source.n, title: source.title }));
  node.title = source.title;
  node.addEventListener("click", (event) => {
    event.preventDefault();
    open(source, node);
  });
  return node;
}
