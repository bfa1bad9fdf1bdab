// Runs before the first paint and before the application: the saved theme, and the few helpers that
// must work at once (theme buttons, copy buttons, closing the small menu). Nothing here is needed to
// use the product; without scripts these controls are not shown.
(() => {
  const root = document.documentElement;
  const saved = () => { try { return localStorage.getItem("theme") || "system"; } catch { return "system"; } };
  const apply = (theme) => {
    if (theme === "light" || theme === "dark") root.setAttribute("data-theme", theme);
    else root.removeAttribute("data-theme");
    for (const button of document.querySelectorAll("[data-set-theme]"))
      button.setAttribute("aria-pressed", String(button.getAttribute("data-set-theme") === theme));
  };
  const say = (text) => { const live = document.getElementById("live"); if (live) live.textContent = text; };
  const copy = async (button) => {
    try { await navigator.clipboard.writeText(button.getAttribute("data-copy")); } catch {
      const code = button.parentElement && button.parentElement.querySelector("code");
      if (!code) return;
      getSelection().selectAllChildren(code);
      if (!document.execCommand("copy")) return;
    }
    button.setAttribute("data-done", "");
    say("Copied to the clipboard");
    setTimeout(() => { button.removeAttribute("data-done"); say(""); }, 2000);
  };
  root.classList.add("js");
  apply(saved());
  document.addEventListener("DOMContentLoaded", () => apply(saved()));
  document.addEventListener("click", (event) => {
    const on = (selector) => event.target.closest && event.target.closest(selector);
    const theme = on("[data-set-theme]");
    if (theme) {
      const word = theme.getAttribute("data-set-theme");
      try { localStorage.setItem("theme", word); } catch { /* a private window: the choice lasts for this page */ }
      apply(word);
    }
    const button = on("[data-copy]");
    if (button) copy(button);
    const cancel = on("[data-close]");
    if (cancel) {
      const details = cancel.closest("details");
      details.open = false;
      details.querySelector("summary").focus();
    }
    const menu = document.getElementById("menu");
    if (menu && menu.open && (on("#menu a") || !on("#menu"))) menu.open = false;
  });
  document.addEventListener("keydown", (event) => {
    const menu = document.getElementById("menu");
    if (event.key === "Escape" && menu && menu.open) { menu.open = false; menu.querySelector("summary").focus(); }
  });
})();
