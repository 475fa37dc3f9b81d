"use strict";
const root = document.documentElement;
const themes = ["auto", "light", "dark"];
const button = document.getElementById("theme");
const help = document.getElementById("help");

function remembered() {
  try { return localStorage.getItem("rheostat-theme"); } catch { return null; }
}
function paint(theme) {
  root.dataset.theme = theme;
  button.querySelector("span").textContent = theme;
  button.setAttribute("aria-label", "Colours: " + theme);
}
function turn() {
  const next = themes[(themes.indexOf(root.dataset.theme) + 1) % themes.length];
  paint(next);
  try { localStorage.setItem("rheostat-theme", next); } catch { /* a frame without storage */ }
}
paint(themes.includes(remembered()) ? remembered() : "auto");
button.addEventListener("click", turn);
document.getElementById("help-button").addEventListener("click", () => help.showModal());

const steps = document.querySelectorAll(".steps summary");
let at = -1;
for (const [place, step] of steps.entries()) step.addEventListener("focus", () => { at = place; });
function go(place) {
  if (!steps.length) return;
  at = Math.max(0, Math.min(steps.length - 1, place));
  steps[at].focus({ preventScroll: true });
  steps[at].scrollIntoView({ block: "nearest" });
}
document.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || help.open) return;
  const onStep = document.activeElement === steps[at];
  const keys = { j: at + 1, k: at - 1 };
  if (onStep) Object.assign(keys, { ArrowDown: at + 1, ArrowUp: at - 1, Home: 0, End: steps.length - 1 });
  if (event.key in keys) { event.preventDefault(); go(keys[event.key]); }
  else if (event.key === "t") turn();
  else if (event.key === "?") { event.preventDefault(); help.showModal(); }
});

function valueOf(row, column) {
  const cell = row.cells[column];
  return cell.dataset.v === undefined ? cell.textContent.trim() : Number(cell.dataset.v);
}
for (const table of document.querySelectorAll("table.sortable")) {
  const heads = [...table.tHead.rows[0].cells];
  heads.forEach((head, column) => head.querySelector("button").addEventListener("click", () => {
    const numeric = head.classList.contains("r");
    const down = head.ariaSort === "none" ? numeric : head.ariaSort === "ascending";
    for (const each of heads) each.ariaSort = "none";
    head.ariaSort = down ? "descending" : "ascending";
    table.classList.add("sorted");
    const body = table.tBodies[0];
    const keyed = [...body.rows].map((row) => [valueOf(row, column), row]);
    keyed.sort(([a], [b]) => (numeric ? a - b : String(a).localeCompare(String(b))) * (down ? -1 : 1));
    body.append(...keyed.map(([, row]) => row));
  }));
}
