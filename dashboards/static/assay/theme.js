// Chooses light or dark before the first paint; a classic script, so that nothing flashes.
(() => {
  const THEMES = ["system", "light", "dark"];
  const KEY = "assay-theme";
  const root = document.documentElement;

  function stored() {
    try {
      const theme = localStorage.getItem(KEY);
      return THEMES.includes(theme) ? theme : "system";
    } catch {
      return "system"; // storage may be forbidden
    }
  }

  function apply(theme) {
    if (theme === "system") delete root.dataset.theme;
    else root.dataset.theme = theme;
    const button = document.getElementById("theme");
    if (button) button.textContent = `Theme: ${theme}`;
    window.dispatchEvent(new Event("assay-theme"));
  }

  apply(stored());
  document.addEventListener("DOMContentLoaded", () => {
    const button = document.getElementById("theme");
    if (button) {
      button.addEventListener("click", () => {
        const theme = THEMES[(THEMES.indexOf(root.dataset.theme ?? "system") + 1) % THEMES.length];
        try {
          localStorage.setItem(KEY, theme);
        } catch {
          // the choice then lasts as long as the page
        }
        apply(theme);
      });
    }
    apply(stored());
    const loading = document.querySelector(".loading");
    if (loading && location.protocol === "file:") {
      loading.textContent =
        "Browsers load these pages only from a web server. Run `assay preview` and open the address that it prints.";
    }
  });
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => apply(stored()));
})();
