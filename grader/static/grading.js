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

  // On a narrow screen the notebook lies below the points.
  document.querySelectorAll("a[target^=ran-]").forEach((link) => {
    link.addEventListener("click", () => document.getElementsByName(link.target)[0]?.scrollIntoView());
  });

  // Points by criterion make the cell's points; the service adds them up itself.
  form?.addEventListener("input", ({ target }) => {
    if (!target.dataset.sum) return;
    const each = [...form.querySelectorAll(`[data-sum="${target.dataset.sum}"]`)];
    const typed = each.map((one) => one.value.trim().replace(",", ".")).filter(Boolean);
    const sum = typed.reduce((total, text) => total + Number(text), 0);
    if (!Number.isNaN(sum)) form.elements[target.dataset.sum].value = typed.length ? sum : "";
  });

  // What was typed and not saved is not lost by a slip.
  let touched = false;
  form?.addEventListener("input", () => (touched = true));
  form?.addEventListener("submit", () => (touched = false));
  const leave = () => !touched || window.confirm(form.dataset.unsaved);
  document.querySelectorAll("main a[href]:not([target])").forEach((link) => {
    link.addEventListener("click", (event) => {
      if (event.isTrusted && !leave()) event.preventDefault();
    });
  });
})();
