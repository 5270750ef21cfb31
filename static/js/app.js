// What makes the pages quicker to use. Every page reads well without it.

const THEMES = ["system", "light", "dark"];

function theme() {
  return document.documentElement.dataset.theme ?? "system";
}

function applyTheme(name) {
  const root = document.documentElement;
  if (name === "system") delete root.dataset.theme;
  else root.dataset.theme = name;
  try {
    if (name === "system") localStorage.removeItem("theme");
    else localStorage.setItem("theme", name);
  } catch {
    // The choice then lasts for this page only.
  }
  labelTheme();
  document.dispatchEvent(new CustomEvent("breakeven:theme"));
}

function labelTheme() {
  for (const button of document.querySelectorAll("[data-theme-toggle]")) {
    button.querySelector("[data-label]").textContent = `Theme: ${theme()}`;
  }
}

function announce(text) {
  document.getElementById("announcer").textContent = text;
}

async function copy(text, message) {
  try {
    await navigator.clipboard.writeText(text);
    announce(message);
    return true;
  } catch {
    announce("Copying is not allowed here. Select the text and copy it yourself.");
    return false;
  }
}

async function copyFrom(button) {
  const source = button.dataset.copy;
  const text = source === "link" ? location.href : document.getElementById(source).textContent;
  const label = button.querySelector("[data-label]");
  const before = label.textContent;
  const done = await copy(text.trim(), source === "link" ? "Link copied." : "Copied.");
  label.textContent = done ? "Copied" : "Not copied";
  setTimeout(() => (label.textContent = before), 1600);
}

function closeMenus(except) {
  for (const menu of document.querySelectorAll("details.menu[open]")) {
    if (!menu.contains(except)) menu.open = false;
  }
}

// The navigation scrolls by itself; where one is stays in sight, and the page does not move.
function showWhereOneIs() {
  const nav = document.getElementById("nav");
  const here = nav?.querySelector("[aria-current]");
  if (!here) return;
  const box = nav.getBoundingClientRect();
  const entry = here.getBoundingClientRect();
  if (entry.top < box.top || entry.bottom > Math.min(box.bottom, innerHeight)) {
    nav.scrollTop += entry.top - box.top - (box.height - entry.height) / 2;
  }
}

document.addEventListener("click", (event) => {
  closeMenus(event.target);
  const button = event.target.closest("button");
  if (!button) return;
  if ("themeToggle" in button.dataset) {
    applyTheme(THEMES[(THEMES.indexOf(theme()) + 1) % THEMES.length]);
  } else if (button.dataset.copy) {
    copyFrom(button);
  }
});

document.addEventListener("keydown", (event) => {
  if (event.key !== "Escape") return;
  const open = event.target.closest("details.menu[open]");
  closeMenus(null);
  open?.querySelector("summary").focus();
});

// A chosen option in a form that says so is applied at once; its button remains for the keyboard.
document.addEventListener("change", (event) => {
  const form = event.target.closest("form[data-auto]");
  if (form) form.requestSubmit();
});

document.addEventListener("htmx:afterSwap", (event) => {
  showWhereOneIs();
  const page = event.target.closest("#view")?.querySelector("[data-announce]");
  // A part that follows something says the same again and again; once is enough.
  const said = page?.dataset.announce;
  if (said && said !== document.getElementById("announcer").textContent) announce(said);
});

document.addEventListener("htmx:responseError", () => {
  announce("That did not work. Reload the page; if it happens again, tell your administrator.");
});

document.addEventListener("htmx:sendError", () => {
  announce("Breakeven cannot be reached. Check your connection and try again.");
});

// Opened over a narrow screen. The event does not bubble.
document.addEventListener(
  "toggle",
  (event) => {
    if (event.target.id === "nav") showWhereOneIs();
  },
  true,
);

labelTheme();
showWhereOneIs();
