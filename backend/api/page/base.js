// Where the assistant is served: "/", or below a proxy's prefix, such as "/assist/". This file's own address says it.

export const BASE = new URL("../..", import.meta.url).pathname;
