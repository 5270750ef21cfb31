// Draws the figures that the server sent as JSON, in the colours of the page's own tokens.
//
// A figure names colours as `var(--chart-1)`; they are looked up when drawn, so that a change of
// theme redraws the same data. The numbers are also in each chart's table, for those without this.

const CONFIG = { displayModeBar: false, responsive: true, showTips: false, doubleClick: "reset" };
const TOKEN = /^var\((--[\w-]+)\)$/;

const probe = document.createElement("span");
probe.hidden = true;
document.body.append(probe);

function colour(token) {
  probe.style.color = `var(${token})`;
  return getComputedStyle(probe).color;
}

function themed(value) {
  if (typeof value === "string") {
    const token = TOKEN.exec(value);
    return token ? colour(token[1]) : value;
  }
  if (Array.isArray(value)) return value.map(themed);
  if (value && typeof value === "object") {
    return Object.fromEntries(Object.entries(value).map(([key, item]) => [key, themed(item)]));
  }
  return value;
}

function draw(plot) {
  const figure = JSON.parse(document.getElementById(plot.dataset.figure).textContent);
  const font = { family: getComputedStyle(document.body).fontFamily };
  const { data, layout } = themed(figure);
  layout.font = { ...layout.font, ...font };
  layout.hoverlabel = { ...layout.hoverlabel, font: { ...layout.hoverlabel?.font, ...font } };
  const first = !plot.classList.contains("js-plotly-plot");
  Plotly.react(plot, data, layout, CONFIG);
  if (first) plot.on("plotly_click", (event) => openRows(event.points));
}

// A bar leads to its rows, as its line in the table does.
function openRows(points) {
  const bar = points.find((point) => typeof point.data.meta === "string");
  const target = bar?.data.meta.replace("{day}", bar.x).replace("{next}", () => dayAfter(bar.x));
  if (target?.startsWith("/") && !target.startsWith("//")) location.assign(target);
}

function dayAfter(day) {
  return new Date(Date.parse(day) + 24 * 60 * 60 * 1000).toISOString().slice(0, 10);
}

function drawAll(root = document) {
  for (const plot of root.querySelectorAll(".chart-plot[data-figure]")) draw(plot);
}

drawAll();
document.addEventListener("breakeven:theme", () => drawAll());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", () => drawAll());
document.addEventListener("htmx:beforeCleanupElement", (event) => {
  const plot = event.target;
  if (plot.classList?.contains("js-plotly-plot")) Plotly.purge(plot);
});
document.addEventListener("htmx:afterSwap", (event) => drawAll(event.target));
