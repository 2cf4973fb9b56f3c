#include "lib/report/page.hpp"

namespace cleave::inline v0::report {

std::string_view page_script() {
  return R"js(
'use strict';
(() => {
  const data = JSON.parse(document.getElementById('data').textContent);
  const colour = name =>
      getComputedStyle(document.documentElement).getPropertyValue('--' + name).trim();
  const narrow = () => window.innerWidth < 560;
  const shorten = (text, limit) =>
      text.length > limit ? '\u2026' + text.slice(text.length - limit + 1) : text;
  const units = (value, names) => {
    for (const [unit, name] of names)
      if (Math.abs(value) >= unit * 0.9995)
        return Number((value / unit).toPrecision(3)) + ' ' + name;
    return value === 0 ? '0' : value.toPrecision(3) + ' ' + names[names.length - 1][1];
  };
  const seconds = v => units(v, [[1, 's'], [1e-3, 'ms'], [1e-6, '\u00b5s']]);
  const joules = v => units(v, [[1, 'J'], [1e-3, 'mJ'], [1e-6, '\u00b5J']]);
  const kinds = ['edge', 'split', 'cloud'];

  // Of each decade 1, 2 and 5 get a label; on a short axis others do too.
  const logTicks = format => function(value) {
    const lead = Number((value / Math.pow(10, Math.floor(Math.log10(value) + 1e-9))).toFixed(3));
    const labelled = this.max / this.min < 5 ? [1, 2, 3, 4, 5, 6, 8] : [1, 2, 5];
    return labelled.includes(lead) ? format(value) : '';
  };
  const axis = (title, format, more) => Object.assign({
    title: {display: true, text: title, color: colour('soft')},
    grid: {color: colour('line')},
    ticks: {color: colour('soft'), callback: format, maxRotation: 0, autoSkipPadding: 12},
  }, more);
  const logAxis = (title, format, more) => {
    const made = axis(title, logTicks(format), Object.assign({type: 'logarithmic'}, more));
    made.ticks.autoSkip = false;  // it would skip labels in favour of the ticks without one
    return made;
  };
  const range = values => {
    const good = values.filter(v => v > 0 && isFinite(v));
    return good.length ? {min: Math.min(...good) * 0.85, max: Math.max(...good) * 1.18} : {};
  };
  const legend = () => ({
    position: 'bottom',
    labels: {color: colour('ink'), boxWidth: 10, boxHeight: 10, usePointStyle: true,
             padding: narrow() ? 8 : 14, font: {size: narrow() ? 11 : 12}},
  });

  const charts = [];
  const draw = (id, make) => {
    const canvas = document.getElementById(id);
    if (canvas)
      charts.push({canvas, make, chart: null});
  };
  const show = () => {
    for (const entry of charts) {
      if (entry.chart)
        entry.chart.destroy();
      const config = entry.make();
      config.options = Object.assign({
        responsive: true, maintainAspectRatio: false, animation: false,
      }, config.options);
      entry.chart = new Chart(entry.canvas, config);
    }
  };

  draw('front', () => {
    const rows = data.front;
    // What nothing beats in both latency and energy, as a staircase.
    const stairs = [];
    for (const row of [...rows].sort((a, b) => a.latency - b.latency || a.energy - b.energy))
      if (!stairs.length || row.energy < stairs[stairs.length - 1].y)
        stairs.push({x: row.latency, y: row.energy});
    const points = (kind, front) => ({
      label: kind + (front ? '' : ', within the margin'),
      data: rows.filter(r => r.kind === kind && r.on_front === front)
                .map(r => ({x: r.latency, y: r.energy, row: r})),
      backgroundColor: colour(kind) + (front ? 'e6' : '55'),
      borderColor: colour('card'), borderWidth: front ? 1 : 0,
      pointRadius: front ? 5.5 : 3.5, pointHoverRadius: 8,
    });
    const sets = [];
    for (const front of [true, false])
      for (const kind of kinds) {
        const set = points(kind, front);
        if (set.data.length)
          sets.push(set);
      }
    sets.push({label: 'best of the two', data: stairs, showLine: true, stepped: 'before',
               pointRadius: 0, pointHitRadius: 0, pointStyle: 'line', borderWidth: 1.5,
               borderDash: [5, 4], borderColor: colour('soft')});
    return {
      type: 'scatter',
      data: {datasets: sets},
      options: {
        scales: {
          x: logAxis('predicted latency', seconds, range(rows.map(r => r.latency))),
          y: logAxis('energy (' + data.boundary + ', ' + data.front_origin + ')', joules,
                     range(rows.map(r => r.energy))),
        },
        plugins: {
          legend: legend(),
          tooltip: {filter: item => item.raw.row !== undefined, callbacks: {label: item => {
            const r = item.raw.row;
            const lines = [r.label, seconds(r.latency) + ', ' + joules(r.energy) + ' (' +
                           data.boundary + ', ' + r.origin + ')'];
            if (r.accuracy !== null)
              lines.push('accuracy ' + (100 * r.accuracy).toFixed(1) + ' %');
            return lines;
          }}},
        },
      },
    };
  });

  const stacked = (id, source, format, title, origin) => draw(id, () => {
    const parts = source.parts.filter((_, i) => source.bars.some(bar => bar.values[i] > 0));
    const index = parts.map(part => source.parts.indexOf(part));
    return {
      type: 'bar',
      data: {
        labels: source.bars.map(bar => bar.name),
        datasets: parts.map((part, k) => ({
          label: part, data: source.bars.map(bar => bar.values[index[k]]),
          backgroundColor: colour('p' + (index[k] % 9 + 1)), borderWidth: 0,
          barPercentage: 0.86, categoryPercentage: 0.92, maxBarThickness: 28,
        })),
      },
      options: {
        indexAxis: 'y',
        scales: {
          x: axis(title, v => format(v), {stacked: true, beginAtZero: true}),
          y: {stacked: true, grid: {display: false},
              ticks: {color: colour('ink'), autoSkip: false, font: {size: 11},
                      callback(v) {
                        return shorten(this.getLabelForValue(v), narrow() ? 20 : 42);
                      }}},
        },
        plugins: {
          legend: legend(),
          tooltip: {mode: 'index', axis: 'y', intersect: false, callbacks: {
            title: items => items.length ? [source.bars[items[0].dataIndex].name,
                                            source.bars[items[0].dataIndex].detail] : '',
            label: item => item.dataset.label + ': ' + format(item.raw),
            footer: items => 'sum: ' + format(items.reduce((sum, i) => sum + i.raw, 0)) +
                (origin ? ' (' + data.boundary + ', ' +
                          source.bars[items[0].dataIndex].origin + ')' : ''),
          }},
        },
      },
    };
  });
  stacked('latency-parts', data.latency, seconds, 'predicted latency', false);
  stacked('energy-parts', data.energy, joules, 'energy (' + data.boundary + ')', true);
  stacked('policy-energy', data.policy_energy, joules,
          'mean energy of a request (' + data.boundary + ')', true);

  const all = data.runs.flatMap(run => run.requests);
  const xs = range(all.map(r => r[0]));
  const ys = range(all.map(r => r[1]));
  data.runs.forEach((run, index) => draw('run-' + index, () => {
    const sets = [];
    for (const kind of kinds) {
      const some = run.requests.filter(r => r[2] && kinds[r[3]] === kind);
      if (some.length)
        sets.push({label: kind, data: some.map(r => ({x: r[0], y: r[1], r})),
                   backgroundColor: colour(kind) + 'b0', pointRadius: 2.6, borderWidth: 0});
    }
    const late = run.requests.filter(r => !r[2]);
    sets.push({label: 'missed', data: late.map(r => ({x: r[0], y: r[1], r})),
               pointStyle: 'crossRot', pointRadius: 4, borderWidth: 1.8,
               borderColor: colour('missed')});
    const low = Math.min(xs.min, ys.min), high = Math.max(xs.max, ys.max);
    sets.push({label: 'deadline', data: [{x: low, y: low}, {x: high, y: high}], showLine: true,
               pointRadius: 0, pointHitRadius: 0, borderWidth: 1, borderDash: [4, 4],
               borderColor: colour('soft')});
    return {
      type: 'scatter',
      data: {datasets: sets},
      options: {
        scales: {x: logAxis('deadline', seconds, xs), y: logAxis('latency', seconds, ys)},
        plugins: {
          legend: {display: false},
          tooltip: {filter: item => item.raw.r !== undefined, callbacks: {label: item => {
            const r = item.raw.r;
            const lines = [seconds(r[1]) + ' of ' + seconds(r[0]), data.labels[r[4]]];
            if (r[5])
              lines.push('fell back to the edge');
            return lines;
          }}},
        },
      },
    };
  }));

  show();
  window.matchMedia('(prefers-color-scheme: dark)').addEventListener('change', show);
  let wasNarrow = narrow();
  window.addEventListener('resize', () => {
    if (narrow() !== wasNarrow) {
      wasNarrow = narrow();
      show();
    }
  });
})();
)js";
}

}  // namespace cleave::inline v0::report
