// Small things every page does. Pages work without it.
(() => {
  // A form is sent once: a second click while it is on its way does nothing.
  document.addEventListener("submit", (event) => {
    const form = event.target;
    if (event.defaultPrevented || form.hasAttribute("hx-post")) return;
    if (form.dataset.confirm && !window.confirm(form.dataset.confirm)) {
      event.preventDefault();
      return;
    }
    if (form.dataset.sent) {
      event.preventDefault();
      return;
    }
    form.dataset.sent = "yes";
    form.querySelectorAll("button[type=submit]").forEach((b) => b.classList.add("dli-sending"));
  });

  // Coming back with the browser's Back button: forms can be sent again.
  window.addEventListener("pageshow", () => {
    document.querySelectorAll("form[data-sent]").forEach((form) => {
      delete form.dataset.sent;
      form.querySelectorAll(".dli-sending").forEach((b) => b.classList.remove("dli-sending"));
    });
  });

  // On a narrow screen the tabs scroll: the one that is open is in sight.
  // Only sideways: the page itself stays where its anchor or its field has taken it.
  const tab = document.querySelector(".dli-subnav [aria-current]");
  const bar = tab?.closest("ul");
  if (bar) bar.scrollLeft = tab.offsetLeft - bar.offsetLeft - (bar.clientWidth - tab.offsetWidth) / 2;

  // A step that one of our own pages has led to: it goes on by itself.
  document.querySelectorAll("form[data-at-once]").forEach((form) => form.requestSubmit());

  // Moments are written in the platform's zone; who is in another one reads their own time too.
  const ownTimes = (place) => {
    const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
    place.querySelectorAll("time[data-own-zone]").forEach((one) => {
      if (!zone || one.dataset.ownZone === zone) return;
      const when = new Date(one.dateTime);
      const own = { dateStyle: "medium", timeStyle: "short" };
      const text = new Intl.DateTimeFormat(document.documentElement.lang, own).format(when);
      one.insertAdjacentText("afterend", ` · ${text} (${zone})`);
      delete one.dataset.ownZone;
    });
  };
  ownTimes(document);

  // A part of the page that another of our services draws. Reading it may first sign this browser in
  // there, by redirects on this site; the link inside stays when that does not work.
  const fill = async (place) => {
    const address = new URL(place.dataset.fragment, window.location.href);
    const answer = await fetch(address, { headers: { Accept: "text/html" } }).catch(() => null);
    if (!answer || !answer.ok || new URL(answer.url).pathname !== address.pathname) return;
    place.innerHTML = await answer.text();
    place.dataset.shown = "yes";
    ownTimes(place);
  };
  // One after the other, so that only the first has to sign in.
  (async () => {
    for (const place of document.querySelectorAll("[data-fragment]")) await fill(place);
  })();

  // Buttons that show a password: data-reveal names the inputs, separated by spaces.
  document.querySelectorAll("[data-reveal]").forEach((button) => {
    button.addEventListener("click", () => {
      const shown = button.getAttribute("aria-pressed") === "true";
      button.setAttribute("aria-pressed", String(!shown));
      button.dataset.reveal.split(" ").forEach((id) => {
        document.getElementById(id).type = shown ? "password" : "text";
      });
    });
  });
})();
