// The live logs of runs and of applications. The stream is the API's; the steps are drawn by the server and fetched again when they change.
(() => {
  const MOST_LINES = 5000;
  const waiting = new Map();
  let after = [-1, -1];
  let count = 0;

  const cell = (name, text) => {
    const element = document.createElement("span");
    element.className = name;
    element.textContent = text;
    return element;
  };
  const clock = (time) => new Date(time).toLocaleTimeString(undefined, { hour12: false });

  // The stream begins anew after some interruptions: what was shown is not shown twice.
  const isNew = (id) => {
    const [event, line] = id.split("-").map(Number);
    if (event < after[0] || line < after[1] || (event === after[0] && line === after[1])) return false;
    after = [event, line];
    return true;
  };
  const showWaiting = () => {
    for (const step of document.querySelectorAll("[data-step]")) {
      const place = step.querySelector("[data-waiting]");
      const news = waiting.get(step.dataset.step);
      place.hidden = !news;
      // One state at a time: what waits does not run, and has not failed.
      step.querySelector("[data-state]").hidden = Boolean(news);
      place.lastElementChild.textContent = news
        ? `Waiting, retry at ${clock(news.retry_at)}, attempt ${Math.min(news.attempt + 1, news.attempts)} of ${news.attempts}`
        : "";
    }
  };
  const add = (line) => {
    const log = document.querySelector("[data-log]");
    log.querySelector("[data-placeholder]")?.remove();
    const atEnd = log.scrollHeight - log.scrollTop - log.clientHeight < 24;
    const row = document.createElement("li");
    row.className = line.level;
    row.append(cell("at", clock(line.time)), cell("of", line.of), cell("text", line.text));
    log.append(row);
    if (log.childElementCount > MOST_LINES) log.firstElementChild.remove();
    // Only who reads the end is taken along; whoever scrolled up stays where they are.
    if (atEnd) log.scrollTop = log.scrollHeight;
    count += 1;
    const counted = document.querySelector("[data-log-count]");
    if (counted) counted.textContent = `${count} line${count === 1 ? "" : "s"}`;
  };

  const LEVELS = { out: "info", err: "error", run: "debug" };
  document.addEventListener("htmx:sseOpen", (event) => {
    if (event.target.matches("[data-output]"))
      event.detail.source.addEventListener("line", (message) => {
        const line = JSON.parse(message.data);
        add({ ...line, of: line.release, level: LEVELS[line.stream] });
      });
    if (!event.target.matches("[data-run]")) return;
    const source = event.detail.source;
    source.addEventListener("log", (message) => {
      if (!isNew(message.lastEventId)) return;
      const line = JSON.parse(message.data);
      if (line.waiting) waiting.set(line.step, line.waiting);
      else waiting.delete(line.step);
      add({ ...line, of: line.step });
      showWaiting();
    });
    source.addEventListener("step", (message) => {
      for (const change of JSON.parse(message.data).steps) waiting.delete(change.step);
      showWaiting();
    });
    source.addEventListener("verdict", () => { waiting.clear(); showWaiting(); });
  });
  document.addEventListener("htmx:afterSettle", showWaiting);

  // The stream is ahead of the catalogue by moments: what is fetched because of a message shall be what the message told.
  document.addEventListener("htmx:sseOpen", (event) => {
    if (!event.target.matches("[data-run], [data-live]")) return;
    for (const name of ["step", "stalled", "verdict"])
      event.detail.source.addEventListener(name, (message) => {
        const after = JSON.parse(message.data).sequence;
        for (const part of document.querySelectorAll("[data-follows]"))
          part.setAttribute("hx-vals", JSON.stringify({ after }));
      });
  });
  // Nobody loses what they are typing because something else has changed: it is shown when they are done.
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target.matches("#environment") || !target.querySelector("details.popover[open], input:focus, textarea:focus"))
      return;
    event.detail.shouldSwap = false;
    const part = document.querySelector("[data-follows]");
    setTimeout(() => htmx.trigger(part, "again"), 1000);
  });
  document.addEventListener("htmx:responseError", (event) => {
    const part = event.target.closest("[data-follows]");
    if (part) setTimeout(() => htmx.trigger(part, "again"), 1000);
  });
})();
