#include "lib/report/page.hpp"

namespace cleave::inline v0::report {

std::string_view page_style() {
  return R"css(
:root {
  color-scheme: light dark;
  --page: #f6f7f9; --card: #ffffff; --ink: #16202c; --soft: #5b6876; --line: #e1e5ea;
  --edge: #12806a; --split: #d9822b; --cloud: #3b6fd4; --missed: #d1344b; --bar: #dbe7f6;
  --bar-raw: #c4d3e8; --bar-fp16: #6fa8dc; --bar-int8: #234f9e;
  --p1: #12806a; --p2: #e9b44c; --p3: #3b6fd4; --p4: #b07cc6; --p5: #8a97a6; --p6: #d1344b;
  --p7: #6fb3e0; --p8: #4d5b69; --p9: #c9a27c;
}
@media (prefers-color-scheme: dark) {
  :root {
    --page: #12171d; --card: #1b222b; --ink: #e8edf2; --soft: #9aa7b4; --line: #2d3743;
    --edge: #3fbf9f; --split: #f0a04b; --cloud: #7aa2f7; --missed: #ff6b81; --bar: #26384f;
    --bar-raw: #34445c; --bar-fp16: #4f7fc4; --bar-int8: #cfe3ff;
    --p1: #3fbf9f; --p2: #f2c866; --p3: #7aa2f7; --p4: #c79be0; --p5: #8391a0; --p6: #ff6b81;
    --p7: #8fcdf5; --p8: #b5c0cb; --p9: #d9b894;
  }
}
* { box-sizing: border-box; }
body {
  margin: 0; background: var(--page); color: var(--ink); line-height: 1.5;
  font: 15px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, "Noto Sans", sans-serif;
}
main { max-width: 1120px; margin: 0 auto; padding: 28px 20px 60px; }
h1 { font-size: 26px; line-height: 1.2; margin: 0 0 4px; letter-spacing: -0.01em; }
h2 { font-size: 18px; margin: 0 0 2px; letter-spacing: -0.005em; }
h3 { font-size: 14px; margin: 0 0 6px; }
p { margin: 0 0 12px; }
.soft, small { color: var(--soft); }
small { font-size: 12px; display: block; line-height: 1.35; }
section {
  background: var(--card); border: 1px solid var(--line); border-radius: 12px;
  padding: 20px; margin-top: 20px;
}
.tiles { display: grid; gap: 12px; margin-top: 20px;
         grid-template-columns: repeat(auto-fit, minmax(165px, 1fr)); }
.tile { background: var(--card); border: 1px solid var(--line); border-radius: 12px;
        padding: 12px 16px; min-width: 0; overflow-wrap: anywhere; }
.tile b { display: block; font-size: 19px; line-height: 1.3; }
.scroll { overflow-x: auto; margin: 0 -20px; padding: 0 20px; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th { text-align: left; font-weight: 600; font-size: 12px; color: var(--soft);
     vertical-align: bottom; }
th, td { padding: 8px 14px 8px 0; border-bottom: 1px solid var(--line); white-space: nowrap; }
td { vertical-align: top; }
tr:last-child td { border-bottom: 0; }
th:last-child, td:last-child { padding-right: 0; }
.number { text-align: right; }
td.name { font-weight: 600; }
td.wrap { white-space: normal; overflow-wrap: anywhere; min-width: 180px; }
.bar { display: block; height: 5px; border-radius: 3px; background: var(--bar); margin-top: 4px; }
.bar i { display: block; height: 5px; border-radius: 3px; background: var(--cloud); }
.late { color: var(--missed); font-weight: 600; }
.chart { position: relative; height: 420px; }
.grid { display: grid; gap: 20px 24px;
        grid-template-columns: repeat(auto-fit, minmax(min(310px, 100%), 1fr)); }
.grid .chart { height: 260px; }
.keys { display: flex; flex-wrap: wrap; gap: 4px 16px; font-size: 13px; margin: 0 0 10px; }
.keys i { display: inline-block; width: 10px; height: 10px; border-radius: 50%;
          margin-right: 6px; }
.keys .cross { border-radius: 0; width: auto; height: auto; font-style: normal;
               font-weight: 700; color: var(--missed); }
details > summary { cursor: pointer; color: var(--soft); margin-top: 12px; }
.tall { max-height: 78vh; overflow: auto; }
.network { display: block; font-size: 12px; }
.network text { fill: var(--ink); }
.network .soft, .network .head { fill: var(--soft); }
.network .head { font-weight: 600; }
.network .refused { fill: var(--missed); }
.network .value { fill: none; stroke: var(--edge); stroke-width: 1.6; opacity: 0.75; }
.network .step { fill: var(--card); stroke: var(--edge); stroke-width: 2; }
.network .in { fill: var(--edge); }
.network .input { stroke: var(--soft); stroke-dasharray: 3 4; }
.network .hover { fill: transparent; }
.network g:hover .hover { fill: var(--bar); opacity: 0.5; }
.network .done { fill: var(--line); }
.network .own { fill: var(--split); }
.network .c0 { fill: var(--bar-raw); }
.network .c1 { fill: var(--bar-fp16); }
.network .c2 { fill: var(--bar-int8); }
dl { display: grid; grid-template-columns: minmax(110px, max-content) 1fr; gap: 4px 16px;
     margin: 0; }
dt { color: var(--soft); }
dd { margin: 0; overflow-wrap: anywhere; }
@media (max-width: 560px) {
  main { padding: 20px 12px 40px; }
  section { padding: 16px 14px; }
  .scroll { margin: 0 -14px; padding: 0 14px; }
  .chart { height: 360px; }
  .tiles { grid-template-columns: repeat(2, 1fr); }
  h1 { font-size: 22px; }
}
@media print { section, .tile { break-inside: avoid; } }
)css";
}

}  // namespace cleave::inline v0::report
