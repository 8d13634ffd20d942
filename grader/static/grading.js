// Keys of the page for grading by hand. Buttons and links do the same without it.
(() => {
  const form = document.getElementById("marks");
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey && event.key === "Enter") {
      const button = form?.querySelector("button[value=next]:not(:disabled)");
      if (button) {
        event.preventDefault();
        form.requestSubmit(button);
      }
    } else if (event.altKey && (event.key === "ArrowLeft" || event.key === "ArrowRight")) {
      const link = document.getElementById(event.key === "ArrowLeft" ? "before" : "after");
      event.preventDefault(); // not the browser's history: what was typed would be lost unseen
      if (link && leave()) link.click();
    }
  });

  // What was typed and not saved is not lost by a slip.
  let touched = false;
  form?.addEventListener("input", () => (touched = true));
  form?.addEventListener("submit", () => (touched = false));
  const leave = () => !touched || window.confirm(form.dataset.unsaved);
  document.querySelectorAll("main a[href]").forEach((link) => {
    link.addEventListener("click", (event) => {
      if (event.isTrusted && !leave()) event.preventDefault();
    });
  });
})();
