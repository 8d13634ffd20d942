// Draws each [data-chart] from the table it names: what a chart shows can also be read as a table.
(() => {
  const style = (name) => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
  const colours = () => ["--dli-accent", "--dli-info", "--dli-warning", "--dli-danger"].map(style);
  const drawn = [];

  const read = (table) => {
    const rows = [...table.tBodies[0].rows];
    const times = rows.map((row) => read.time(row.cells[0].dataset.time) / 1000);
    const names = [...table.tHead.rows[0].cells].slice(1).map((cell) => cell.textContent.trim());
    const columns = names.map((_, i) =>
      rows.map((row) => {
        const value = row.cells[i + 1].dataset.value;
        return value === "" || value === "None" ? null : Number(value);
      }),
    );
    const dated = rows.every((row) => /^\d{4}-\d\d-\d\d$/.test(row.cells[0].dataset.time));
    return { names, dated, data: [times, ...columns] };
  };

  // A date without a time is a day where the reader is, not midnight in Greenwich.
  read.time = (text) => Date.parse(/^\d{4}-\d\d-\d\d$/.test(text) ? `${text}T00:00` : text);

  const axis = () => ({
    stroke: style("--dli-quiet"),
    grid: { stroke: style("--dli-line"), width: 1 },
    ticks: { stroke: style("--dli-line"), width: 1 },
    font: `12px ${getComputedStyle(document.body).fontFamily}`,
  });

  // Half the distance between two bars, so that the outer ones are drawn whole.
  const edge = (times) => (times.length > 1 ? (times[1] - times[0]) / 2 : 43200);

  const draw = (place) => {
    const { names, dated, data } = read(document.getElementById(place.dataset.table));
    if (!data[0].length) return;
    const language = document.documentElement.lang || "en";
    // In the first minute of a cohort all ticks would say the same.
    const once = (labels) => labels.map((label, at) => (label === labels[at - 1] ? "" : label));
    const when = new Intl.DateTimeFormat(language, { month: "short", day: "numeric" });
    const clock = new Intl.DateTimeFormat(language, { hour: "numeric", minute: "2-digit" });
    const days = dated || data[0][data[0].length - 1] - data[0][0] > 2 * 86400;
    const bars = place.dataset.chart === "bar";
    const options = {
      width: place.clientWidth,
      height: Number(place.dataset.height),
      padding: [12, 32, 0, 0],
      scales: {
        x: bars ? { range: (_u, low, high) => [low - edge(data[0]), high + edge(data[0])] } : {},
        y: { range: (_u, _low, high) => [0, high > 0 ? high * 1.1 : 1] },
      },
      axes: [
        { ...axis(), space: 76, ...(days ? { incrs: [1, 2, 7, 14, 28, 91, 365].map((d) => d * 86400) } : {}),
          values: (_u, ticks) => once(ticks.map((t) => (days ? when : clock).format(t * 1000))) },
        { ...axis(), values: (_u, ticks) => ticks.map((t) => t.toLocaleString(language)), size: 56 },
      ],
      series: [
        { value: (_u, t) => (t == null ? "–" : `${when.format(t * 1000)}${dated ? "" : ` ${clock.format(t * 1000)}`}`),
          label: place.dataset.timeLabel || "" },
        ...names.map((label, i) => ({
          label,
          stroke: colours()[i % 4],
          fill: bars ? colours()[i % 4] : undefined,
          width: bars ? 0 : 2,
          paths: bars ? uPlot.paths.bars({ size: [0.7, 40] }) : undefined,
          points: { show: data[0].length < 40 && !bars },
          value: (_u, v) => (v == null ? "–" : v.toLocaleString(language, { maximumFractionDigits: 2 })),
        })),
      ],
    };
    place.replaceChildren();
    drawn.push({ place, plot: new uPlot(options, data, place) });
  };

  const drawAll = () => {
    drawn.splice(0).forEach(({ plot }) => plot.destroy());
    document.querySelectorAll("[data-chart]").forEach(draw);
  };

  document.documentElement.addEventListener("dli:theme", drawAll);
  document.addEventListener("htmx:after:swap", drawAll);
  new ResizeObserver(() => {
    drawn.forEach(({ place, plot }) => plot.setSize({ width: place.clientWidth, height: Number(place.dataset.height) }));
  }).observe(document.querySelector("main") || document.body);
  drawAll();
})();
