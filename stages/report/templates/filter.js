// Rows that do not fit what is asked for are hidden; how many are left is said.
const filter = document.querySelector("form.filter");
if (filter) {
  const rows = [...document.querySelectorAll("table.errors tbody tr")];
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const fits = (row, asked) => {
    const [low, high] = (asked.rank || "").split(" ");
    const rank = Number(row.dataset.rank);
    const flags = row.dataset.flags.split(" ").filter(Boolean);
    return (!asked.words || texts.get(row).includes(asked.words.toLowerCase().trim()))
      && (!low || rank >= Number(low)) && (!high || rank <= Number(high))
      && (!asked.seen || row.dataset.seen === asked.seen)
      && (!asked.kind || row.dataset.kind === asked.kind)
      && (!asked.flag || (asked.flag === "-" ? flags.length === 0 : flags.includes(asked.flag)));
  };
  const apply = () => {
    const asked = Object.fromEntries(new FormData(filter));
    let left = 0;
    for (const row of rows) {
      row.hidden = !fits(row, asked);
      left += !row.hidden;
    }
    const of = left === rows.length ? "" : ` of ${rows.length.toLocaleString("en")}`;
    document.getElementById("count").textContent = `${left.toLocaleString("en")}${of} errors`;
  };
  filter.addEventListener("input", apply);
  filter.addEventListener("submit", (event) => event.preventDefault());
  filter.addEventListener("reset", () => setTimeout(apply));
}
