// Before the first paint: the colours the reader chose. Not a module, so that it blocks.
try {
  const theme = localStorage.getItem("libri.theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // storage may be forbidden: the device's colours then
}
