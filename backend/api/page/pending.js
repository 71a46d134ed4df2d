// The run that this tab is following, remembered across F5.

const KEY = "libri.run";

/** {key, question, conversation, run} or null. */
export function pending() {
  try {
    return JSON.parse(sessionStorage.getItem(KEY));
  } catch {
    return null; // storage forbidden, or not ours
  }
}

export function remember(run) {
  try {
    if (run) sessionStorage.setItem(KEY, JSON.stringify(run));
    else sessionStorage.removeItem(KEY);
  } catch {
    // then F5 finds the run through its conversation
  }
}
