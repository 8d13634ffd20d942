// The Hub's own pages: language, waiting for a lab, stopping one.
(() => {
  document.querySelectorAll("[data-language]").forEach((button) => {
    button.addEventListener("click", () => {
      const secure = window.location.protocol === "https:" ? "; Secure" : "";
      document.cookie =
        `${button.dataset.cookie}=${button.dataset.language}; Path=/; Max-Age=31536000; SameSite=Lax${secure}`;
      window.location.reload();
    });
  });

  const insecure = document.getElementById("insecure-login-warning");
  if (insecure && !window.isSecureContext) insecure.hidden = false;

  // Stop the lab: DELETE at the Hub's API with the page's token.
  const stop = document.getElementById("stop-server-btn");
  if (stop) {
    stop.addEventListener("click", async () => {
      stop.disabled = true;
      const said = document.getElementById("stop-server-status");
      const { base_url: base, user, xsrf_token: token } = window.jhdata;
      const address = `${base}api/users/${encodeURIComponent(user)}/server?_xsrf=${encodeURIComponent(token)}`;
      const answer = await fetch(address, { method: "DELETE" }).catch(() => null);
      if (answer && answer.ok) {
        said.textContent = stop.dataset.stopping;
        window.setTimeout(() => window.location.assign(stop.dataset.after), 1500);
      } else {
        said.textContent = stop.dataset.failed;
        stop.disabled = false;
      }
    });
  }

  // Follow the start of a lab until it is ready or has failed.
  const waiting = document.getElementById("dli-waiting");
  if (waiting) {
    const bar = document.getElementById("progress-bar");
    const message = document.getElementById("progress-message");
    const log = document.getElementById("progress-log");
    const words = waiting.dataset;
    const translated = { "Server requested": words.requested, "Spawning server...": words.spawning };
    const source = new EventSource(words.progressUrl);

    const say = (event) => {
      const text = event.ready ? words.ready : translated[event.message] || event.message || "";
      if (!text) return;
      message.textContent = text;
      const line = document.createElement("li");
      line.textContent = text;
      log.append(line);
    };

    // A refused stream is not asked for again by the browser: the start may be over already, or the
    // Hub away. Once the Hub answers, its page tells which.
    const again = async () => {
      const answer = await fetch(window.location.href, { redirect: "manual" }).catch(() => null);
      const fromHub = answer && answer.headers.has("X-JupyterHub-Version");
      if (fromHub || (answer && answer.type === "opaqueredirect")) window.location.reload();
      else window.setTimeout(again, 2000);
    };
    source.onerror = () => {
      if (source.readyState === EventSource.CLOSED) window.setTimeout(again, 1000);
    };

    source.onmessage = (incoming) => {
      const event = JSON.parse(incoming.data);
      if (event.progress !== undefined) bar.value = event.progress;
      if (event.failed) {
        source.close();
        // The page that now answers here tells the reason and what can be done.
        window.location.reload();
        return;
      }
      say(event);
      if (event.ready) {
        source.close();
        window.location.reload();
      }
    };
  }

  // A page that waits for something else than a start.
  const reload = document.querySelector("[data-reload-seconds]");
  if (reload) {
    window.setTimeout(() => window.location.reload(), 1000 * Number(reload.dataset.reloadSeconds));
  }

  // After JupyterHub's redirects, keep their counter out of the address.
  const here = new URL(window.location.href);
  if (here.searchParams.has("redirects")) {
    here.searchParams.delete("redirects");
    window.history.replaceState({}, "", here);
  }
  window._jupyterhub_page_loaded = true;
})();
