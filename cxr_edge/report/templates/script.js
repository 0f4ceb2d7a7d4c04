"use strict";

// Charts. Colours are CSS variables, so light and dark need no redrawing; `ast` lets Vega work
// without eval, which the page's policy forbids; nothing may be loaded.
const stored = document.getElementById("charts");
if (stored) {
  const { config, charts } = JSON.parse(stored.textContent);
  const refuse = () => Promise.reject(new Error("this page loads nothing"));
  for (const box of document.querySelectorAll("[data-chart]")) {
    vegaEmbed(box, charts[box.dataset.chart], {
      mode: "vega-lite", renderer: "svg", ast: true, actions: false, defaultStyle: false,
      config, tooltip: { disableDefaultStyle: true },
      loader: { load: refuse, sanitize: refuse, http: refuse, file: refuse },
    });
  }
}

// Tables: a click on a heading sorts, another one turns the order around. Empty cells stay last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = [...table.tHead.rows[0].cells];
  const body = table.tBodies[0];
  const compare = (numeric, one, other) =>
    numeric ? one - other : one.localeCompare(other, "en", { numeric: true });
  headings.forEach((heading, column) => {
    const numeric = heading.classList.contains("number");
    const value = row => row.cells[column].dataset.value;
    heading.querySelector("button").addEventListener("click", () => {
      const sign = heading.getAttribute("aria-sort") === "ascending" ? -1 : 1;
      headings.forEach(other => other.setAttribute("aria-sort", "none"));
      heading.setAttribute("aria-sort", sign > 0 ? "ascending" : "descending");
      const filled = [...body.rows].filter(row => value(row) !== "");
      const empty = [...body.rows].filter(row => value(row) === "");
      filled.sort((one, other) => sign * compare(numeric, value(one), value(other)));
      body.append(...filled, ...empty);
    });
  });
}

// Paper shows everything.
addEventListener("beforeprint", () => {
  for (const details of document.querySelectorAll("details")) details.open = true;
});
