// @ts-check
/** Makes the buttons of a rollout work: asks first, then calls the API with the admin token of this tab. */

/** Where the token is kept until the tab is closed. */
const KEY = "pinnace.token";

/** @template {Element} T @param {string} id @param {new () => T} type @returns {T} */
function find(id, type) {
  const element = document.getElementById(id);
  if (element instanceof type) return element;
  throw new Error(`#${id} is missing`);
}

const dialog = find("confirm", HTMLDialogElement);
const go = find("confirm-go", HTMLButtonElement);
const error = find("confirm-error", HTMLElement);
const reason = find("reason", HTMLInputElement);
const token = find("token", HTMLInputElement);
/** @type {HTMLButtonElement | null} */
let asked = null;

function reveal() {
  document.querySelectorAll("button[data-action]").forEach((b) => b.removeAttribute("hidden"));
}

/** @param {string} text */
function complain(text) {
  error.textContent = text;
  error.hidden = text === "";
}

/** @param {HTMLButtonElement} button */
function ask(button) {
  asked = button;
  complain("");
  find("confirm-title", HTMLElement).textContent = button.dataset.title ?? "";
  find("confirm-text", HTMLElement).textContent = button.dataset.text ?? "";
  find("confirm-reason", HTMLElement).hidden = !("reason" in button.dataset);
  find("confirm-token", HTMLElement).hidden = sessionStorage.getItem(KEY) !== null;
  reason.value = "";
  dialog.showModal();
}

async function act() {
  const path = asked?.dataset.action;
  const kept = sessionStorage.getItem(KEY) ?? token.value.trim();
  if (!path) return;
  if (!kept) {
    complain("The admin token is needed.");
    token.focus();
    return;
  }
  go.disabled = true;
  try {
    const body = asked && "reason" in asked.dataset ? { reason: reason.value.trim() } : {};
    const response = await fetch(path, {
      method: "POST",
      headers: { authorization: `Bearer ${kept}`, "content-type": "application/json" },
      body: JSON.stringify(body),
    });
    if (response.ok) {
      sessionStorage.setItem(KEY, kept);
      token.value = "";
      dialog.close();
      document.dispatchEvent(new CustomEvent("pinnace:changed"));
      return;
    }
    if (response.status === 401) {
      sessionStorage.removeItem(KEY);
      find("confirm-token", HTMLElement).hidden = false;
      complain("This token is not the admin token.");
      token.select();
      return;
    }
    const problem = await response.json().catch(() => ({}));
    complain([problem.detail ?? `The control plane answered ${response.status}.`, problem.hint].filter(Boolean).join(" — "));
  } catch {
    complain("The control plane cannot be reached.");
  } finally {
    go.disabled = false;
  }
}

document.addEventListener("click", (event) => {
  const button = event.target instanceof Element ? event.target.closest("button[data-action]") : null;
  if (button instanceof HTMLButtonElement) ask(button);
});
go.addEventListener("click", () => void act());
dialog.querySelector("form")?.addEventListener("keydown", (event) => {
  if (event.key === "Enter" && event.target instanceof HTMLInputElement) {
    event.preventDefault();
    void act();
  }
});
document.addEventListener("pinnace:fresh", reveal);
reveal();
