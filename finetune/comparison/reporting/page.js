"use strict";
// Tables: a button in each heading sorts by it; numbers by their value, dashes last.
for (const table of document.querySelectorAll("table.sortable")) {
  const headings = Array.from(table.querySelectorAll("thead th"));
  headings.forEach((heading, column) => {
    const button = document.createElement("button");
    button.type = "button";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => {
      const numbers = table.querySelector(`tbody tr > :nth-child(${column + 1})[data-order]`) !== null;
      const now = heading.getAttribute("aria-sort");
      const order = now === null ? (numbers ? "descending" : "ascending") : now === "ascending" ? "descending" : "ascending";
      const sign = order === "ascending" ? 1 : -1;
      const rows = Array.from(table.tBodies[0].rows).map((row, place) => {
        const cell = row.cells[column];
        const order = cell.dataset.order;
        return { row, place, value: numbers ? (order === undefined ? null : Number(order)) : cell.textContent.trim() };
      });
      rows.sort((a, b) => {
        if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.place - b.place;
        const difference = numbers ? a.value - b.value : a.value.localeCompare(b.value, undefined, { numeric: true });
        return sign * (difference || 0) || a.place - b.place;
      });
      headings.forEach((other) => other.removeAttribute("aria-sort"));
      heading.setAttribute("aria-sort", order);
      table.tBodies[0].append(...rows.map((entry) => entry.row));
    });
  });
}
// Figures: what a point says stands below the figure; one stop of the tab key, arrows go from point to point.
for (const figure of document.querySelectorAll("figure")) {
  const line = figure.querySelector(".told");
  const hint = line ? line.textContent : "";
  for (const drawing of figure.querySelectorAll("svg")) {
    const points = Array.from(drawing.querySelectorAll(".point"));
    const tell = (point) => {
      points.forEach((other) => other.classList.toggle("told-now", other === point));
      line.textContent = point ? point.dataset.told : hint;
    };
    points.forEach((point, place) => {
      point.setAttribute("tabindex", place === 0 ? "0" : "-1");
      point.addEventListener("pointerenter", () => tell(point));
      point.addEventListener("click", () => tell(point));
      point.addEventListener("focus", () => tell(point));
      point.addEventListener("keydown", (event) => {
        const steps = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1, Home: -place, End: points.length - 1 - place };
        const next = event.key in steps ? points[place + steps[event.key]] : undefined;
        if (next === undefined) return;
        event.preventDefault();
        point.setAttribute("tabindex", "-1");
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
    drawing.addEventListener("pointerleave", () => { if (!drawing.contains(document.activeElement)) tell(null); });
    drawing.addEventListener("focusout", () => tell(null));
  }
}
// Print: everything is opened, and closed again.
let opened = [];
addEventListener("beforeprint", () => {
  opened = Array.from(document.querySelectorAll("details:not([open])"));
  opened.forEach((part) => { part.open = true; });
});
addEventListener("afterprint", () => { opened.forEach((part) => { part.open = false; }); opened = []; });
