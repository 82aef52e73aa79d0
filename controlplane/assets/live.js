// @ts-check
/**
 * Keeps a page fresh: listens to the event stream, fetches the same page again and changes what differs.
 * Without it every page still reads; reloading does the same.
 */

/** Milliseconds between two refreshes at least: a busy fleet makes hundreds of events a second. */
const THROTTLE_MS = 1000;
/** Milliseconds after which a page is refreshed although nothing was heard: progress is no event. */
const IDLE_MS = 10000;

let last = performance.now();
let pending = false;
let running = false;

/** Attributes that belong to the reader, not to the server. @param {Element} from @param {string} name */
function kept(from, name) {
  return (name === "open" && from.localName === "details") || (name === "hidden" && from.localName === "button");
}

/** Makes `from` look like `to`, touching only what differs: focus, scrolling and open details stay. @param {Element} from @param {Element} to */
export function morph(from, to) {
  for (const { name } of Array.from(from.attributes)) {
    if (!to.hasAttribute(name) && !kept(from, name)) from.removeAttribute(name);
  }
  for (const { name, value } of Array.from(to.attributes)) {
    if (from.getAttribute(name) !== value && !kept(from, name)) from.setAttribute(name, value);
  }
  const theirs = Array.from(to.childNodes);
  const ours = Array.from(from.childNodes);
  theirs.forEach((node, index) => {
    const mine = ours[index];
    if (!mine) {
      from.append(document.importNode(node, true));
    } else if (mine.nodeType !== node.nodeType || mine.nodeName !== node.nodeName) {
      mine.replaceWith(document.importNode(node, true));
    } else if (mine instanceof Element && node instanceof Element) {
      morph(mine, node);
    } else if (mine.nodeValue !== node.nodeValue) {
      mine.nodeValue = node.nodeValue;
    }
  });
  ours.slice(theirs.length).forEach((node) => node.remove());
}

/** Fetches this page again and changes its live parts. */
async function refresh() {
  if (running || document.hidden) return;
  running = true;
  last = performance.now();
  try {
    const response = await fetch(location.pathname + location.search, { headers: { accept: "text/html" } });
    if (!response.ok) return;
    const fresh = new DOMParser().parseFromString(await response.text(), "text/html");
    // A page that was empty has another shape now.
    const ids = (/** @type {Document} */ page) => Array.from(page.querySelectorAll("[data-live]"), (e) => e.id).join();
    if (ids(fresh) !== ids(document)) {
      location.reload();
      return;
    }
    for (const part of document.querySelectorAll("[data-live]")) {
      const other = fresh.getElementById(part.id);
      if (other) morph(part, other);
    }
    document.dispatchEvent(new CustomEvent("pinnace:fresh"));
  } catch {
    // The plane is away for a moment; the stream connects again by itself and brings the next refresh.
  } finally {
    running = false;
  }
}

/** Refreshes soon, and not too often. */
function soon() {
  if (pending) return;
  pending = true;
  setTimeout(() => {
    pending = false;
    void refresh();
  }, Math.max(0, THROTTLE_MS - (performance.now() - last)));
}

/** Shows whether events arrive. @param {boolean} on */
function lamp(on) {
  const live = document.getElementById("live");
  if (!live) return;
  live.hidden = false;
  live.classList.toggle("off", !on);
  const words = live.querySelector("span");
  if (words) words.textContent = on ? "live" : "connecting";
}

function listen() {
  const stream = new EventSource("/v1/events/stream");
  stream.addEventListener("open", () => lamp(true));
  stream.addEventListener("error", () => lamp(false));
  stream.addEventListener("message", soon);
  addEventListener("pagehide", () => stream.close());
  setInterval(() => {
    if (performance.now() - last >= IDLE_MS) soon();
  }, IDLE_MS / 4);
}

/** Buttons that copy a command appear where copying works. */
function copying() {
  if (!navigator.clipboard) return;
  const reveal = () => document.querySelectorAll("button[data-copy]").forEach((b) => b.removeAttribute("hidden"));
  reveal();
  document.addEventListener("pinnace:fresh", reveal);
  document.addEventListener("click", async (event) => {
    const button = event.target instanceof Element ? event.target.closest("button[data-copy]") : null;
    if (!(button instanceof HTMLElement)) return;
    await navigator.clipboard.writeText(button.dataset.copy ?? "");
    button.textContent = "Copied";
    setTimeout(() => { button.textContent = "Copy"; }, 1500);
  });
}

document.addEventListener("visibilitychange", () => { if (!document.hidden) soon(); });
document.addEventListener("pinnace:changed", soon);
copying();
// After the page has loaded, so that a stream without end does not hold it up.
if (document.readyState === "complete") listen();
else addEventListener("load", () => setTimeout(listen, 0));
