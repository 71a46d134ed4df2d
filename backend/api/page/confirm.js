// "Are you sure?", in our own words and colours.

import { byId } from "./dom.js";

/** Whether the reader agrees; closing the question any other way is a no. */
export function confirm(title, text) {
  const dialog = byId("confirm");
  byId("confirm-title").textContent = title;
  byId("confirm-text").textContent = text;
  dialog.returnValue = "no";
  dialog.showModal();
  return new Promise((resolve) => {
    dialog.addEventListener("close", () => resolve(dialog.returnValue === "yes"), { once: true });
  });
}
