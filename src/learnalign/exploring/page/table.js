// The subset as a table of virtual rows (SlickGrid): any size, sorted by a click on a column.

let grid = null;
let order = new Int32Array();

const COLUMNS = ["selected", "source", "difficulty", "success_rate", "learnability", "alignment", "score", "rank", "mean_response_tokens"];

function tableColumns() {
  const keys = [...derived.keys(), ...COLUMNS].filter((key) => fieldOf(key));
  if (!keys.includes(state.colour) && fieldOf(state.colour)) keys.unshift(state.colour);
  const fields = keys.map((key) => fieldOf(key));
  return [
    { id: "id", name: "problem", field: "id", sortable: true, width: 190, formatter: (row, cell, value, column, item) => pool.ids[item.problem] },
    ...fields.map((field) => ({
      id: field.key,
      name: field.label,
      field: field.key,
      sortable: true,
      width: field.kind === "number" ? 110 : 130,
      cssClass: field.kind === "number" ? "number" : "",
      headerCssClass: field.kind === "number" ? "number" : "",
      formatter: (row, cell, value, column, item) => shown(field, item.problem),
    })),
  ];
}

function openTable() {
  const rows = { getLength: () => order.length, getItem: (row) => ({ problem: order[row] }) };
  grid = new libraries.SlickGrid(byId("table"), rows, tableColumns(), {
    enableHtmlRendering: false,
    enableColumnReorder: false,
    enableCellNavigation: true,
    forceFitColumns: false,
    rowHeight: 28,
    headerRowHeight: 30,
  });
  const box = byId("table");
  box.setAttribute("role", "grid");
  box.setAttribute("aria-labelledby", "table-title");
  grid.onSort.subscribe((_, { sortCol, sortAsc }) => show({ sort: `${sortAsc ? "" : "-"}${sortCol.id}` }));
  grid.onClick.subscribe((_, { row }) => openProblem(order[row]));
  grid.onKeyDown.subscribe((event) => {
    const cell = grid.getActiveCell();
    if ((event.key ?? event.getNativeEvent?.()?.key) === "Enter" && cell) openProblem(order[cell.row]);
  });
  new ResizeObserver(debounced(() => grid.resizeCanvas(), 100)).observe(box);
}

function drawTable(mask) {
  const indices = [];
  mask.forEach((inside, i) => {
    if (inside) indices.push(i);
  });
  order = sorted(Int32Array.from(indices));
  const columns = tableColumns();
  if (columns.map((one) => one.id).join() !== grid.getColumns().map((one) => one.id).join()) grid.setColumns(columns);
  else grid.getColumns().forEach((old, i) => Object.assign(old, { formatter: columns[i].formatter }));
  const key = state.sort.replace(/^-/, "");
  grid.setSortColumns(key ? [{ columnId: key, sortAsc: !state.sort.startsWith("-") }] : []);
  grid.invalidate();
  byId("table").setAttribute("aria-rowcount", String(order.length));
  byId("table-title").textContent = plural(order.length, "problem");
}

function sorted(indices) {
  const descending = state.sort.startsWith("-");
  const key = state.sort.replace(/^-/, "");
  if (!key) return indices;
  const sign = descending ? -1 : 1;
  if (key === "id") return indices.sort((x, y) => sign * (pool.ids[x] < pool.ids[y] ? -1 : pool.ids[x] > pool.ids[y] ? 1 : 0));
  const field = fieldOf(key);
  if (!field) return indices;
  const { values } = field;
  const last = (value) => (Number.isNaN(value) ? Infinity : sign * value); // unknown values come last
  return indices.sort((x, y) => last(values[x]) - last(values[y]) || x - y);
}
