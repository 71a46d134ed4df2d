// The form that a private assistant shows first.

import { onUnauthenticated, openSession } from "./api.js";
import { byId } from "./dom.js";
import { t } from "./i18n.js";
import { problemWords } from "./problem.js";

/** From now on a call that needs a credential asks for one; `signedIn` is called after each success. */
export function startSignIn(signedIn) {
  const dialog = byId("sign-in");
  const field = byId("key");
  const note = byId("sign-in-note");
  let asking = null;

  const ask = () => {
    note.textContent = field.value = "";
    dialog.showModal();
    field.focus();
    return new Promise((resolve) => dialog.addEventListener("close", () => resolve(dialog.returnValue === "in"), { once: true }));
  };

  onUnauthenticated(() => (asking ??= ask().finally(() => (asking = null))));

  byId("sign-in-form").addEventListener("submit", async (event) => {
    event.preventDefault();
    note.textContent = "";
    try {
      await openSession(field.value.trim());
      dialog.close("in");
      signedIn();
    } catch (problem) {
      note.textContent = problem.status === 401 || problem.status === 403 ? t("signin.wrong") : problemWords(problem);
      field.select();
    }
  });
  dialog.addEventListener("cancel", () => (dialog.returnValue = ""));
}
