for (const table of document.querySelectorAll("table.sortable")) {
  const buttons = [...table.querySelectorAll("th button")];
  const body = table.tBodies[0];
  buttons.forEach((button, column) => {
    const head = button.closest("th");
    button.addEventListener("click", () => {
      const rises = head.getAttribute("aria-sort") !== "ascending";
      buttons.forEach((other) => other.closest("th").removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", rises ? "ascending" : "descending");
      const key = (row) => {
        const text = row.cells[column].dataset.sort ?? row.cells[column].textContent;
        return column === 0 ? text : text === "" ? NaN : Number(text);
      };
      const order = (a, b) => {
        const [x, y] = [key(a), key(b)];
        if (column === 0) return x.localeCompare(y, undefined, { numeric: true });
        return x - y;
      };
      // Cells without a score stay at the end either way.
      const missing = (row) => column > 0 && Number.isNaN(key(row));
      const rows = [...body.rows];
      const scored = rows.filter((row) => !missing(row)).sort(order);
      if (!rises) scored.reverse();
      body.append(...scored, ...rows.filter(missing));
    });
  });
}
