// Keeps the list of exports as the server has it: an event says that something changed, then the page is read
// again and the list made like the new one. Focus, open questions and what is typed stay. Without this script
// the page has the same facts, as of when it was loaded.
(() => {
  const section = document.getElementById("exports");
  const list = document.getElementById("exports-list");
  if (!section || !list || !window.EventSource) return;

  const alike = (old, now) => old.nodeType === now.nodeType && old.nodeName === now.nodeName && (old.id || "") === (now.id || "");
  const morph = (old, now) => {
    if (old.nodeType !== Node.ELEMENT_NODE) {
      if (old.nodeValue !== now.nodeValue) old.nodeValue = now.nodeValue;
      return;
    }
    // Whether details are open is the reader's business.
    const differs = (name) => name !== "open" && old.getAttribute(name) !== now.getAttribute(name);
    for (const { name } of [...old.attributes]) if (!now.hasAttribute(name) && differs(name)) old.removeAttribute(name);
    for (const { name, value } of now.attributes) if (differs(name)) old.setAttribute(name, value);
    let at = old.firstChild;
    for (const next of [...now.childNodes]) {
      const known = next.id && [...old.children].find((child) => child.id === next.id);
      if (known && known !== at) { old.insertBefore(known, at); at = known; }
      if (at && alike(at, next)) {
        morph(at, next);
        at = at.nextSibling;
      } else {
        // What has an id may be wanted further down.
        const replaced = at && !at.id ? at : null;
        if (replaced) at = at.nextSibling;
        old.insertBefore(next, replaced || at);
        if (replaced) replaced.remove();
      }
    }
    while (at) { const next = at.nextSibling; at.remove(); at = next; }
  };

  const states = () => new Map([...list.querySelectorAll("[data-says]")].map((card) => [card.id, card.dataset.says]));
  const say = (text) => { const live = document.getElementById("live"); if (live) live.textContent = text; };
  const take = (fresh) => {
    const before = states();
    const focused = list.contains(document.activeElement) ? document.activeElement : null;
    const card = focused && focused.closest("[data-export]");
    morph(list, fresh);
    if (focused && !focused.isConnected) (card && card.isConnected ? card : document.getElementById("main")).focus();
    const news = [...states()].filter(([id, says]) => before.get(id) !== says).map(([, says]) => says);
    if (news.length) say(news.join(". "));
    skew = Date.parse(list.dataset.now) - Date.now();
    count();
  };

  // Countdowns, in the words of `text::export::until`.
  let skew = Date.parse(list.dataset.now) - Date.now();
  const until = (at) => {
    const s = Math.ceil((at - Date.now() - skew) / 1000);
    if (s <= 0) return "now";
    if (s < 60) return `in ${s} s`;
    if (s < 3600) return `in ${Math.floor(s / 60)} min ${s % 60} s`;
    if (s < 86400) return `in ${Math.floor(s / 3600)} h ${Math.floor(s / 60) % 60} min`;
    return `in ${Math.floor(s / 86400)} d ${Math.floor(s / 3600) % 24} h`;
  };
  const count = () => {
    for (const time of list.querySelectorAll("time[data-until]")) {
      const text = until(Date.parse(time.dateTime));
      if (time.textContent !== text) time.textContent = text;
    }
  };
  setInterval(count, 1000);

  let reading = false;
  let stale = false;
  const refresh = async () => {
    stale = true;
    if (reading || document.hidden) return;
    reading = true;
    try {
      while (stale && !document.hidden) {
        stale = false;
        const answer = await fetch("/exports", { headers: { accept: "text/html" } });
        if (answer.redirected) location.reload();
        const page = new DOMParser().parseFromString(await answer.text(), "text/html");
        const fresh = answer.ok && page.getElementById(list.id);
        if (fresh) take(fresh);
      }
    } catch { /* the next event tries again */ }
    reading = false;
  };
  document.addEventListener("visibilitychange", () => { if (stale) refresh(); });

  const source = new EventSource(section.dataset.events);
  let lost;
  source.addEventListener("exports", refresh);
  source.addEventListener("open", () => { clearTimeout(lost); section.dataset.live = "on"; });
  source.addEventListener("error", () => {
    clearTimeout(lost);
    // The server ends a stream now and then, and the browser comes back by itself: no news.
    if (source.readyState === EventSource.CLOSED) delete section.dataset.live;
    else lost = setTimeout(() => { section.dataset.live = "off"; }, 5000);
  });

  // Orders, in place; what is refused is posted again as a page, which says why.
  list.addEventListener("submit", async (event) => {
    const form = event.target;
    event.preventDefault();
    if (form.ariaBusy) return;
    form.ariaBusy = "true";
    const body = new URLSearchParams(new FormData(form));
    const answer = await fetch(form.action, { method: "post", body, headers: { accept: "application/json" } }).catch(() => null);
    if (!answer || !answer.ok) { form.submit(); return; }
    form.ariaBusy = null;
    const question = form.closest("details.confirm");
    if (question) question.open = false;
    refresh();
  });
})();
