// What a page does by itself: times that stay true, copying, typed confirmation, one submit a click, shortcuts.
(() => {
  const root = document.documentElement;
  // The server's clock decides; ours only counts on from it.
  const ahead = Date.parse(root.dataset.now) - Date.now();
  const now = () => Date.now() + ahead;

  const UNITS = [["day", 86400], ["hour", 3600], ["minute", 60], ["second", 1]];
  const words = (seconds) => {
    const [name, size] = UNITS.find(([, unit]) => seconds >= unit) || UNITS[3];
    // From two on to the nearest: what was just given seven days has seven days.
    const count = Math.floor(seconds / size + (seconds >= 2 * size ? 0.5 : 0));
    return `${count} ${name}${count === 1 ? "" : "s"}`;
  };
  const relative = (moment) => {
    const seconds = (now() - moment) / 1000;
    if (Math.abs(seconds) < 5) return "now";
    return seconds > 0 ? `${words(seconds)} ago` : `in ${words(-seconds)}`;
  };
  const left = (moment) => {
    const seconds = (moment - now()) / 1000;
    return seconds > 0 ? words(seconds) : "time is up";
  };
  const took = (seconds) => {
    if (seconds < 60) return `${Math.max(0, Math.floor(seconds))} s`;
    if (seconds < 3600) return `${Math.floor(seconds / 60)} min ${Math.floor(seconds % 60)} s`;
    if (seconds < 172800) return `${Math.floor(seconds / 3600)} h ${Math.floor((seconds % 3600) / 60)} min`;
    return words(seconds);
  };
  const write = (element, text) => {
    if (element.textContent !== text) element.textContent = text;
  };
  const refreshTimes = () => {
    for (const time of document.querySelectorAll("time[data-relative]")) write(time, relative(Date.parse(time.dateTime)));
    for (const time of document.querySelectorAll("time[data-left]")) write(time, left(Date.parse(time.dateTime)));
    for (const time of document.querySelectorAll("time[data-since]"))
      write(time, took((now() - Date.parse(time.dateTime)) / 1000));
  };
  // The exact time is shown in the reader's own zone.
  const localise = (within) => {
    for (const time of within.querySelectorAll("time[datetime]"))
      time.title = new Date(time.dateTime).toLocaleString(undefined, { dateStyle: "medium", timeStyle: "long" });
    for (const clock of within.querySelectorAll("time[data-clock]"))
      write(clock, new Date(clock.dateTime).toLocaleTimeString(undefined, { hour12: false }));
  };

  const armConfirmations = (within) => {
    for (const input of within.querySelectorAll("input[data-must-equal]")) {
      const button = input.form.querySelector("button[type=submit]");
      const look = () => { button.disabled = input.value.trim() !== input.dataset.mustEqual; };
      input.addEventListener("input", look);
      look();
    }
  };
  // What scrolls can be scrolled with the keyboard, too.
  const letScroll = (within) => {
    for (const box of within.querySelectorAll(".table-box"))
      if (box.scrollWidth > box.clientWidth) {
        box.tabIndex = 0;
        box.setAttribute("role", "region");
        if (!box.hasAttribute("aria-labelledby")) box.setAttribute("aria-label", "Table");
      }
  };
  const prepare = (within) => { letScroll(within); localise(within); armConfirmations(within); refreshTimes(); };
  window.slipway = { took, now, prepare };

  document.addEventListener("DOMContentLoaded", () => {
    prepare(document);
    setInterval(refreshTimes, 1000);
    // Not by scrollIntoView, after which Tab would begin there.
    const tab = document.querySelector(".tabs [aria-current]");
    if (tab) tab.closest(".tabs").scrollLeft = tab.offsetLeft - 48;
  });
  document.addEventListener("htmx:afterSettle", (event) => prepare(event.target));

  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    await navigator.clipboard.writeText(button.dataset.copy);
    const said = button.querySelector("span");
    said.textContent = "Copied";
    button.classList.add("done");
    setTimeout(() => { said.textContent = ""; button.classList.remove("done"); }, 2000);
  });

  // One click is one request. The server would make one of two as well: each form carries a key.
  document.addEventListener("submit", (event) => {
    if (event.defaultPrevented) return;
    const form = event.target;
    if (form.method !== "post") return;
    if (form.dataset.sent) { event.preventDefault(); return; }
    form.dataset.sent = "yes";
    for (const button of form.querySelectorAll("button[type=submit]")) button.setAttribute("aria-disabled", "true");
    if (form.dataset.working && event.submitter) work(form, event.submitter);
  });
  // What takes a moment says how long it has taken, and how long it may.
  const work = (form, button) => {
    const begun = Date.now();
    const say = () => {
      const seconds = Math.floor((Date.now() - begun) / 1000);
      const usual = form.dataset.usual ? ` of about ${form.dataset.usual} s` : "";
      button.textContent = `${form.dataset.working}: ${seconds} s${usual}`;
    };
    say();
    setInterval(say, 1000);
  };
  window.addEventListener("pageshow", () => {
    for (const form of document.querySelectorAll("form[data-sent]")) delete form.dataset.sent;
  });

  // The slider says where it stands while it is moved; the server draws what was then when it is let go.
  document.addEventListener("input", (event) => {
    const form = event.target.closest("form[data-travel]");
    if (!form) return;
    const moment = form.querySelector(`#travel-moments option[value="${Number(event.target.value)}"]`);
    form.querySelector(`output[data-for="${event.target.id}"]`).textContent = moment.label;
  });

  // A filter that was chosen applies itself; without scripts there is a button.
  document.addEventListener("change", (event) => {
    if (event.target.closest("form[data-apply]") && event.target.matches("select, input[type=checkbox]"))
      event.target.form.requestSubmit();
  });

  document.addEventListener("click", (event) => {
    for (const open of document.querySelectorAll("details.popover[open]"))
      if (!open.contains(event.target)) open.open = false;
  });
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const open = document.querySelector("details.popover[open], details.menu[open]");
      if (open) { open.open = false; open.querySelector("summary").focus(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select")) return;
    const target = document.querySelector(`[data-shortcut="${CSS.escape(event.key)}"]`);
    if (!target) return;
    event.preventDefault();
    if (target.matches("input")) target.focus(); else target.click();
  });
})();
