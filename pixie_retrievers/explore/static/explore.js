// Search as you type, and rank anew while a slider moves. Without it the page works by its buttons.
"use strict";
const form = document.querySelector("form.ask");
const results = document.getElementById("results");
let waiting, running;

function parameters() {
  const found = new URLSearchParams();
  for (const [name, value] of new FormData(form)) if (value !== "" && !(name === "k" && value === "10")) found.append(name, value);
  const tokens = document.getElementById("tokens");
  if (tokens && tokens.dataset.query === found.get("q")) {
    const factors = [...tokens.querySelectorAll("input[type=range]")]
      .filter(({ value, dataset }) => "moved" in dataset && Number(value) !== Number(dataset.kept))
      .map((slider) => `${slider.dataset.term}:${slider.value}`);
    if (factors.length) found.set("w", factors.join(","));
  }
  return found;
}

async function update() {
  running?.abort();
  running = new AbortController();
  const asked = parameters().toString();
  try {
    const answer = await fetch(`/results?${asked}`, { signal: running.signal });
    const page = new DOMParser().parseFromString(await answer.text(), "text/html");
    const mine = document.getElementById("tokens"), theirs = page.getElementById("tokens");
    const moved = mine && theirs && mine.dataset.query === theirs.dataset.query;
    if (!moved) { mine?.remove(); if (theirs) results.prepend(theirs); }
    document.getElementById("hits").replaceWith(page.getElementById("hits"));
    history.replaceState(null, "", asked ? `/?${asked}` : "/");
    document.title = `${form.q.value || "Search"} · pixie`;
  } catch (error) {
    if (error.name !== "AbortError") throw error;
  }
}

function soon(milliseconds) {
  clearTimeout(waiting);
  waiting = setTimeout(update, milliseconds);
}

form.addEventListener("input", () => soon(150));
form.addEventListener("submit", (event) => { event.preventDefault(); soon(0); });
results.addEventListener("input", (event) => {
  const { type, dataset, checked, value } = event.target;
  const row = event.target.closest("li");
  if (!row || !dataset.term) return;
  const slider = row.querySelector("input[type=range]");
  slider.dataset.moved = "";
  if (type === "checkbox") slider.value = checked ? Number(slider.dataset.kept) || 1 : 0;
  else row.querySelector("input[type=checkbox]").checked = value !== "0";
  soon(type === "range" ? 30 : 0);
});
