// Before anything is drawn: the colours the user chose, if they chose (else what their system prefers). A name
// of a theme is all that is ever kept in this browser beyond the tab.
"use strict";
try {
  const theme = localStorage.getItem("facewise-theme");
  if (theme === "light" || theme === "dark") document.documentElement.dataset.theme = theme;
} catch {
  // Storage is switched off: the system's preference holds.
}
