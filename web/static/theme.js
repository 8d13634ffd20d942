// Before the first paint: Bootstrap's colours follow the system's light or dark setting.
(() => {
  const dark = window.matchMedia("(prefers-color-scheme: dark)");
  const apply = () => {
    document.documentElement.dataset.bsTheme = dark.matches ? "dark" : "light";
    document.documentElement.dispatchEvent(new Event("dli:theme"));
  };
  apply();
  dark.addEventListener("change", apply);
})();
