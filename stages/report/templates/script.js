"use strict";
// A click, Enter or Space on a header's button sorts its table; numbers start with the highest.
for (const table of document.querySelectorAll("table")) {
  const headers = table.querySelectorAll("th[data-column]");
  const cell = (row, column) => {
    const found = row.cells[column];
    return found.dataset.value === undefined ? found.textContent.trim() : found.dataset.value;
  };
  const isNumber = (text) => text !== "" && Number.isFinite(Number(text.replaceAll(",", "")));
  for (const header of headers) {
    header.querySelector("button").addEventListener("click", () => {
      const body = table.tBodies[0];
      const column = Number(header.dataset.column);
      const rows = [...body.rows].map((row) => [cell(row, column), row]);
      const numeric = rows.every(([text]) => isNumber(text));
      const now = header.getAttribute("aria-sort");
      const up = now === "none" ? !numeric : now === "descending";
      for (const other of headers) other.setAttribute("aria-sort", "none");
      header.setAttribute("aria-sort", up ? "ascending" : "descending");
      const order = numeric
        ? (x, y) => Number(x.replaceAll(",", "")) - Number(y.replaceAll(",", ""))
        : (x, y) => x.localeCompare(y, undefined, { numeric: true });
      rows.sort(([x], [y]) => (up ? order(x, y) : order(y, x)));
      body.append(...rows.map(([, row]) => row));
    });
  }
}
// A table that is wider than its place says so, and fades where it goes on.
const places = document.querySelectorAll(".scroll");
const wider = (place) => {
  const left = place.scrollWidth - place.clientWidth - place.scrollLeft;
  place.classList.toggle("more", left > 1);
  place.classList.toggle("wide", place.scrollWidth > place.clientWidth + 1);
};
const watch = new ResizeObserver((entries) => entries.forEach((entry) => wider(entry.target)));
for (const place of places) {
  place.addEventListener("scroll", () => wider(place), { passive: true });
  watch.observe(place);
}
// A link or an address that points into a closed case opens it.
const reveal = () => {
  const target = location.hash && document.getElementById(location.hash.slice(1));
  const details = target && target.closest("details");
  if (details) details.open = true;
};
addEventListener("hashchange", reveal);
reveal();
for (const button of document.querySelectorAll("button[data-open]")) {
  button.addEventListener("click", () => {
    const all = button.closest("section").querySelectorAll("details.case");
    const open = [...all].some((details) => !details.open);
    for (const details of all) details.open = open;
    button.textContent = open ? "Close all cases" : "Open all cases";
  });
}
