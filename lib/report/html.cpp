#include "lib/report/escape.hpp"
#include "lib/report/page.hpp"
#include "lib/report/sensitivity.hpp"

#include <cleave/report/report.hpp>
#include <cleave/report/terminal.hpp>
#include <cleave/table/predictor.hpp>

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>

namespace cleave::inline v0::report {
namespace {

using Json = nlohmann::json;

// A configuration whose parts a bar shows.
struct Bar {
  std::string name;
  std::string detail;
  table::Prediction prediction;
};

// Bars of more cuts than this are too many to read.
constexpr std::size_t bar_limit = 64;

std::string kind_of(const table::Ingredients& ingredients) {
  if (!ingredients.uses_cloud)
    return "edge";
  return ingredients.edge_compute.count() > 0 ? "split" : "cloud";
}

core::Boundary boundary_of(const ReportInput& input) {
  if (input.table)
    return input.table->boundary;
  return input.runs.empty() ? core::Boundary::edge_cloud_device : input.runs.front().boundary;
}

std::string levels_text(const std::vector<core::Knob>& knobs,
                        const std::vector<core::LevelIndex>& levels) {
  std::string text;
  for (std::size_t k = 0; k < std::min(knobs.size(), levels.size()); ++k)
    if (levels[k] < knobs[k].levels.size())
      text += (k == 0 ? "" : ", ") + knobs[k].name + " " + knobs[k].levels[levels[k]].label;
  return text;
}

// The fastest configuration of each cut on the link that was profiled.
std::vector<Bar> bars_of(const table::Profile& profile) {
  std::vector<Bar> bars;
  const table::LinkState link = table::link_of(profile);
  for (const table::CutProfile& cut : profile.cuts) {
    const bool all_edge = cut.id == profile.cuts.back().id;
    std::optional<Bar> best;
    const auto consider = [&](const std::string& codec, const table::Setting& edge,
                              const std::vector<core::LevelIndex>& cloud) {
      const core::Configuration configuration{
          .stages = {{.host = core::edge_host, .end = cut.id, .levels = edge.levels},
                     {.host = core::cloud_host, .end = profile.cuts.back().id, .levels = cloud}},
          .codecs = {codec}};
      const auto priced = table::price(profile, configuration);
      if (!priced)
        return;
      const auto prediction = table::compose(*priced, link, core::Seconds());
      if (!std::isfinite(prediction.latency.total().count()) ||
          (best && best->prediction.latency.total() <= prediction.latency.total()))
        return;
      const std::string name = cut.position == 0 ? "all cloud" : all_edge ? "all edge" : cut.layer;
      best = Bar{.name = name.empty() ? cut.op : name,
                 .detail = (all_edge ? std::string("") : codec + " | ") +
                           levels_text(profile.hosts[0].knobs, edge.levels) +
                           (all_edge ? std::string("")
                                     : " | " + levels_text(profile.hosts[1].knobs, cloud)),
                 .prediction = prediction};
    };
    for (const table::Setting& edge : profile.hosts[core::edge_host].settings) {
      if (all_edge) {
        consider("", edge, {});
        continue;
      }
      for (const std::string& codec : profile.codecs)
        for (const table::Setting& cloud : profile.hosts[core::cloud_host].settings)
          consider(codec, edge, cloud.levels);
    }
    if (best)
      bars.push_back(std::move(*best));
  }
  return bars;
}

std::vector<Bar> bars_of(const table::ParetoTable& table) {
  std::vector<Bar> bars;
  for (const table::TableRow& row : table.rows)
    if (row.on_front)
      bars.push_back({.name = row.label,
                      .detail = "",
                      .prediction = compose(row.ingredients, table.reference, core::Seconds())});
  return bars;
}

// First and last stay, the rest is thinned out evenly.
std::vector<Bar> thinned(std::vector<Bar> bars) {
  if (bars.size() <= bar_limit)
    return bars;
  std::vector<Bar> some;
  for (std::size_t i = 0; i < bar_limit; ++i)
    some.push_back(bars[i * (bars.size() - 1) / (bar_limit - 1)]);
  return some;
}

const std::vector<std::string> latency_names = {"edge compute",  "encode",     "transfer",
                                                "decode",        "round trip", "queue",
                                                "cloud compute", "reply",      "overhead"};

std::vector<double> values_of(const table::LatencyParts& p) {
  return {p.edge_compute.count(),  p.encode.count(),     p.transfer.count(),
          p.decode.count(),        p.round_trip.count(), p.queue.count(),
          p.cloud_compute.count(), p.reply.count(),      p.overhead.count()};
}

const std::vector<std::string> energy_names = {"edge compute", "edge waiting", "cloud", "radio"};

std::vector<double> values_of(const table::EnergyParts& p, core::Boundary boundary) {
  double cloud = 0;
  if (boundary == core::Boundary::edge_cloud_device)
    cloud = p.cloud_device.count();
  else if (boundary == core::Boundary::edge_cloud_machine)
    cloud = p.cloud_machine.count();
  return {p.edge_compute.count(), p.edge_wait.count(), cloud, p.radio.count()};
}

Json bars_json(const std::vector<Bar>& bars, const std::vector<std::string>& parts, auto&& values) {
  Json list = Json::array();
  for (const Bar& bar : bars)
    list.push_back({{"name", bar.name},
                    {"detail", bar.detail},
                    {"origin", to_string(bar.prediction.energy.origin)},
                    {"values", values(bar)}});
  return {{"parts", parts}, {"bars", std::move(list)}};
}

// The mean energy of each policy's completed requests, in parts.
Json policy_energy(const std::vector<table::RunLog>& runs, core::Boundary boundary) {
  Json list = Json::array();
  for (const table::RunLog& run : runs) {
    std::vector<double> sums(energy_names.size(), 0);
    std::size_t count = 0;
    for (const table::RequestOutcome& outcome : run.outcomes) {
      if (!outcome.error.empty())
        continue;
      const auto values = values_of(outcome.energy, boundary);
      for (std::size_t i = 0; i < sums.size(); ++i) sums[i] += values[i];
      ++count;
    }
    if (count == 0)
      continue;
    for (double& sum : sums) sum /= static_cast<double>(count);
    list.push_back({{"name", run.policy},
                    {"detail", std::to_string(count) + " requests"},
                    {"origin", to_string(summarise(run).origin)},
                    {"values", sums}});
  }
  return {{"parts", energy_names}, {"bars", std::move(list)}};
}

Json front_json(const table::ParetoTable& table) {
  Json rows = Json::array();
  for (const table::TableRow& row : table.rows) {
    const table::Accuracy& accuracy = row.ingredients.accuracy;
    const bool known = accuracy.basis != table::Accuracy::Basis::none;
    rows.push_back({{"label", row.label},
                    {"latency", row.latency.count()},
                    {"energy", row.energy.count()},
                    {"kind", kind_of(row.ingredients)},
                    {"origin", to_string(row.ingredients.origin)},
                    {"on_front", row.on_front},
                    {"accuracy", known ? Json(accuracy.value) : Json()}});
  }
  return rows;
}

std::string front_origin(const table::ParetoTable& table) {
  bool measured = false;
  bool modelled = false;
  for (const table::TableRow& row : table.rows)
    (row.ingredients.origin == core::Origin::measured ? measured : modelled) = true;
  return measured && modelled ? "measured or modelled" : measured ? "measured" : "modelled";
}

Json runs_json(const std::vector<table::RunLog>& runs, Json& labels) {
  std::map<std::string, std::size_t> known;
  Json list = Json::array();
  for (const table::RunLog& run : runs) {
    Json requests = Json::array();
    for (const table::RequestOutcome& o : run.outcomes) {
      const std::string label = o.error.empty() ? o.label : o.label + ": " + o.error;
      const auto [entry, fresh] = known.emplace(label, known.size());
      if (fresh)
        labels.push_back(label);
      // In the order of the script's "kinds": edge, split, cloud.
      const int kind = o.decided == table::DecisionKind::edge    ? 0
                       : o.decided == table::DecisionKind::split ? 1
                                                                 : 2;
      requests.push_back({o.request.deadline.count(), o.latency.count(), o.met(), kind,
                          entry->second, o.fell_back});
    }
    list.push_back({{"policy", run.policy}, {"requests", std::move(requests)}});
  }
  return list;
}

// HTML in the making; every text goes through escape_html().
class Page {
 public:
  Page& raw(std::string_view html) {
    out_ += html;
    return *this;
  }
  Page& text(std::string_view text) {
    out_ += escape_html(text);
    return *this;
  }
  void chart(const std::string& id, const std::string& what, std::size_t height = 0) {
    raw("<div class=\"chart\"");
    if (height != 0)
      raw(" style=\"height:" + std::to_string(height) + "px\"");
    raw("><canvas id=\"" + id + "\" role=\"img\" aria-label=\"")
        .text(what)
        .raw("\"></canvas></div>\n");
  }
  void fact(std::string_view name, std::string_view value) {
    if (!value.empty())
      raw("<dt>").text(name).raw("</dt><dd>").text(value).raw("</dd>\n");
  }
  void tile(std::string_view name, std::string_view value, std::string_view note = {}) {
    raw("<div class=\"tile\"><small>").text(name).raw("</small><b>").text(value).raw("</b>");
    if (!note.empty())
      raw("<small>").text(note).raw("</small>");
    raw("</div>\n");
  }
  [[nodiscard]] std::string take() { return std::move(out_); }

 private:
  std::string out_;
};

void tiles(Page& page, const ReportInput& input) {
  page.raw("<div class=\"tiles\">\n");
  const std::string model = input.table     ? input.table->model_name
                            : input.profile ? input.profile->model_name
                            : input.network ? input.network->name
                                            : std::string();
  if (!model.empty())
    page.tile("model", model);
  if (input.network) {
    const auto refused = static_cast<std::size_t>(
        std::count_if(input.network->cuts.begin(), input.network->cuts.end(),
                      [](const NetworkPicture::Cut& cut) { return !cut.refused.empty(); }));
    page.tile("cuts of the network", std::to_string(input.network->cuts.size() - refused),
              std::to_string(input.network->steps.size()) + " steps; " + std::to_string(refused) +
                  " places refused");
  }
  if (input.profile) {
    page.tile("places to cut", std::to_string(input.profile->cuts.size()));
    page.tile("link", format(input.profile->link.up),
              "up, round trip " + format(input.profile->link.round_trip));
    if (input.profile->error.configurations > 0)
      page.tile("prediction error", percent(input.profile->error.median_relative),
                "median of " + std::to_string(input.profile->error.configurations) +
                    " held-out configurations; repeating a measurement: " +
                    percent(input.profile->error.repeat_median_relative));
  }
  if (input.table) {
    const auto front = static_cast<std::size_t>(
        std::count_if(input.table->rows.begin(), input.table->rows.end(),
                      [](const table::TableRow& row) { return row.on_front; }));
    page.tile("on the front", std::to_string(front),
              "of " + std::to_string(input.table->search.evaluations) + " looked at");
  }
  if (!input.runs.empty())
    page.tile("requests", std::to_string(input.runs.front().outcomes.size()),
              "under each of " + std::to_string(input.runs.size()) + " policies");
  page.raw("</div>\n");
}

void policies(Page& page, const std::vector<table::RunLog>& runs) {
  std::vector<table::RunSummary> summaries;
  double most = 0;
  for (const table::RunLog& run : runs) {
    summaries.push_back(summarise(run));
    if (std::isfinite(summaries.back().mean_energy.count()))
      most = std::max(most, summaries.back().mean_energy.count());
  }
  page.raw(
      "<section><h2>Policies</h2>\n<p class=\"soft\">The same requests under each policy. "
      "Energy, latency and accuracy are those of the requests that completed.</p>\n"
      "<div class=\"scroll\"><table>\n<tr><th>policy</th><th>mean energy</th>"
      "<th class=\"number\">median latency</th><th class=\"number\">p95</th>"
      "<th class=\"number\">missed deadlines</th><th class=\"number\">accuracy</th>"
      "<th class=\"number\">edge / split / cloud</th><th class=\"number\">fell back</th>"
      "<th class=\"number\">failed</th></tr>\n");
  for (const table::RunSummary& s : summaries) {
    const double missed =
        s.requests == 0 ? 0 : static_cast<double>(s.missed) / static_cast<double>(s.requests);
    const double share =
        most > 0 && std::isfinite(s.mean_energy.count()) ? 100 * s.mean_energy.count() / most : 0;
    page.raw("<tr><td class=\"name\">").text(s.policy).raw("</td><td>").text(format(s.mean_energy));
    page.raw("<span class=\"bar\"><i style=\"width:" + std::to_string(std::lround(share)) +
             "%\"></i></span><small>");
    page.text(std::string(to_string(s.boundary)) + ", " + std::string(to_string(s.origin)));
    page.raw("</small></td><td class=\"number\">").text(format(s.median_latency));
    page.raw("</td><td class=\"number\">").text(format(s.p95_latency));
    page.raw(s.missed > 0 ? "</td><td class=\"number late\">" : "</td><td class=\"number\">");
    page.text(std::to_string(s.missed)).raw("<small>").text(percent(missed)).raw("</small>");
    page.raw("</td><td class=\"number\">").text(percent(s.accuracy));
    page.raw("</td><td class=\"number\">")
        .text(std::to_string(s.on_edge) + " / " + std::to_string(s.split) + " / " +
              std::to_string(s.on_cloud));
    page.raw("</td><td class=\"number\">").text(std::to_string(s.fell_back));
    page.raw("</td><td class=\"number\">").text(std::to_string(s.failed)).raw("</td></tr>\n");
  }
  page.raw("</table></div>\n");
}

void outcomes(Page& page, const std::vector<table::RunLog>& runs) {
  page.raw(
      "<section><h2>Every request</h2>\n<p class=\"soft\">Latency against the deadline it was "
      "given: what lies above the dashed line came too late.</p>\n<div class=\"keys\">"
      "<span><i style=\"background:var(--edge)\"></i>edge</span>"
      "<span><i style=\"background:var(--split)\"></i>split</span>"
      "<span><i style=\"background:var(--cloud)\"></i>cloud</span>"
      "<span><i class=\"cross\">&#10005;</i>missed</span></div>\n<div class=\"grid\">\n");
  for (std::size_t r = 0; r < runs.size(); ++r) {
    page.raw("<div><h3>").text(runs[r].policy).raw("</h3>");
    page.chart("run-" + std::to_string(r), "Latency against deadline under " + runs[r].policy);
    page.raw("</div>\n");
  }
  page.raw("</div></section>\n");
}

void front_rows(Page& page, const table::ParetoTable& table) {
  page.raw(
      "<div class=\"scroll\"><table>\n<tr><th>configuration</th>"
      "<th class=\"number\">predicted latency</th><th class=\"number\">energy</th>"
      "<th>boundary, origin</th><th class=\"number\">accuracy</th><th>kind</th></tr>\n");
  for (const table::TableRow& row : table.rows) {
    if (!row.on_front)
      continue;
    const table::Accuracy& accuracy = row.ingredients.accuracy;
    page.raw("<tr><td class=\"wrap\">").text(row.label);
    page.raw("</td><td class=\"number\">").text(format(row.latency));
    page.raw("</td><td class=\"number\">").text(format(row.energy)).raw("</td><td>");
    page.text(std::string(to_string(table.boundary)) + ", " +
              std::string(to_string(row.ingredients.origin)));
    page.raw("</td><td class=\"number\">")
        .text(accuracy.basis == table::Accuracy::Basis::none ? "-" : percent(accuracy.value));
    page.raw("</td><td>").text(kind_of(row.ingredients)).raw("</td></tr>\n");
  }
  page.raw("</table></div>\n");
}

void network(Page& page, const NetworkPicture& picture) {
  page.raw(
          "<section><h2>Where the network can be cut</h2>\n<p class=\"soft\">One row a step; the "
          "lines at the left are the values that are still needed, so what crosses a cut is what "
          "passes it. Share of the pass: ")
      .text(picture.share_of)
      .raw(
          ". The dashed line marks the size of the input: shorter bars send less than it.</p>\n"
          "<div class=\"keys\">");
  for (std::size_t c = 0; c < picture.codecs.size() && c < 3; ++c)
    page.raw("<span><i style=\"background:var(--" +
             std::string(c == 0   ? "bar-raw"
                         : c == 1 ? "bar-fp16"
                                  : "bar-int8") +
             ")\"></i>")
        .text(picture.codecs[c])
        .raw("</span>");
  page.raw(
      "<span><i style=\"background:var(--split)\"></i>the step's own share</span>"
      "<span><i class=\"cross\">&#10005;</i>a cut that would change the result</span></div>\n"
      "<div class=\"scroll tall\">\n");
  page.raw(network_svg(picture)).raw("</div></section>\n");
}

std::string host_text(const table::HostProfile& host) {
  std::string text = host.name;
  if (!host.board.empty())
    text += ", watts of " + host.board;
  if (!host.source.empty())
    text += " (" + host.source + ")";
  return text;
}

std::string knobs_text(const table::HostProfile& host) {
  std::string text;
  for (const core::Knob& knob : host.knobs) {
    text += (text.empty() ? "" : "; ") + knob.name + ": ";
    for (std::size_t l = 0; l < knob.levels.size(); ++l)
      text += (l == 0 ? "" : ", ") + knob.levels[l].label;
  }
  return text;
}

void facts(Page& page, const ReportInput& input) {
  page.raw("<section><h2>What was measured</h2>\n<dl>\n");
  if (input.profile) {
    const table::Profile& p = *input.profile;
    page.fact("model", p.model_name + " (" + to_string(p.model) + ")");
    page.fact("edge", host_text(p.hosts[core::edge_host]));
    page.fact("edge knobs", knobs_text(p.hosts[core::edge_host]));
    page.fact("cloud", host_text(p.hosts[core::cloud_host]));
    page.fact("cloud knobs", knobs_text(p.hosts[core::cloud_host]));
    std::string codecs;
    for (const std::string& codec : p.codecs) codecs += (codecs.empty() ? "" : ", ") + codec;
    page.fact("codecs", codecs);
    page.fact("link", "up " + format(p.link.up) + ", down " + format(p.link.down) +
                          ", round trip " + format(p.link.round_trip) + " (spread " +
                          format(p.link.round_trip_spread) + "), " + format(p.link.overhead) +
                          " overhead a request");
    if (p.error.configurations > 0)
      page.fact(
          "prediction error",
          "median " + percent(p.error.median_relative) + ", 90 % within " +
              percent(p.error.p90_relative) + ", over " + std::to_string(p.error.configurations) +
              " configurations that nothing was fitted to; measuring the same again: median " +
              percent(p.error.repeat_median_relative) + ", 90 % within " +
              percent(p.error.repeat_p90_relative));
  }
  if (input.table) {
    const table::ParetoTable& t = *input.table;
    page.fact("search", t.search.algorithm + ", seed " + std::to_string(t.search.seed) + ", " +
                            std::to_string(t.search.evaluations) + " of " +
                            std::to_string(t.search.space) + " configurations looked at");
    page.fact("energy boundary", to_string(t.boundary));
    page.fact("reference link", "up " + format(t.reference.up) + ", down " +
                                    format(t.reference.down) + ", round trip " +
                                    format(t.reference.round_trip));
  }
  page.raw("</dl></section>\n");
}

}  // namespace

std::string html(const ReportInput& input) {
  const bool charts = !input.chart_js.empty();
  const core::Boundary boundary = boundary_of(input);
  const std::vector<Bar> all_bars = input.profile ? bars_of(*input.profile)
                                    : input.table ? bars_of(*input.table)
                                                  : std::vector<Bar>();
  const std::vector<Bar> bars = thinned(all_bars);
  Page page;
  page.raw(
      "<!DOCTYPE html>\n<html lang=\"en\"><head><meta charset=\"utf-8\">\n"
      "<meta name=\"viewport\" content=\"width=device-width, initial-scale=1\">\n"
      "<meta http-equiv=\"Content-Security-Policy\" content=\"default-src 'none'; "
      "style-src 'unsafe-inline'; script-src 'unsafe-inline'; img-src data:\">\n<title>");
  page.text(input.title).raw("</title>\n<style>").raw(page_style());
  page.raw("</style></head><body><main>\n<h1>").text(input.title).raw("</h1>\n");
  if (!input.note.empty())
    page.raw("<p class=\"soft\">").text(input.note).raw("</p>\n");
  tiles(page, input);

  if (!input.runs.empty()) {
    policies(page, input.runs);
    if (charts) {
      page.raw("<h3 style=\"margin-top:20px\">Where each policy's energy goes</h3>");
      page.chart("policy-energy",
                 "Mean energy of a request by part and policy, " + std::string(to_string(boundary)),
                 110 + 40 * input.runs.size());
    }
    page.raw("</section>\n");
    if (charts)
      outcomes(page, input.runs);
  }
  if (input.table && !input.table->rows.empty()) {
    page.raw("<section><h2>Pareto front</h2>\n<p class=\"soft\">Predicted for ")
        .text(format(input.table->reference.up) + " and a round trip of " +
              format(input.table->reference.round_trip))
        .raw(". Energy: ")
        .text(std::string(to_string(boundary)) + ", " + front_origin(*input.table))
        .raw(
            ". The dashed line joins what nothing beats in both latency and energy; "
            "other points on the front are more accurate.</p>\n");
    if (charts) {
      page.chart("front", "Predicted latency against energy of every row of the table");
      page.raw("<details><summary>The rows on the front</summary>\n");
      front_rows(page, *input.table);
      page.raw("</details>");
    } else {
      front_rows(page, *input.table);
    }
    page.raw("</section>\n").raw(sensitivity_section(*input.table));
  }
  if (input.network)
    network(page, *input.network);
  if (charts && !bars.empty()) {
    const std::size_t height = 120 + 22 * bars.size();
    const std::string which =
        input.profile ? "the fastest configuration of each cut" : "each configuration on the front";
    page.raw("<section><h2>Latency of each cut</h2>\n<p class=\"soft\">Predicted latency of ")
        .text(which)
        .raw(", on an idle link.");
    if (bars.size() < all_bars.size())
      page.raw(" " + std::to_string(bars.size()) + " of " + std::to_string(all_bars.size()) +
               " are shown, at even distances.");
    page.raw("</p>\n");
    page.chart("latency-parts", "Latency of " + which + " by part", height);
    page.raw(
            "</section>\n<section><h2>Energy of each cut</h2>\n<p class=\"soft\">The same "
            "configurations. Energy: ")
        .text(to_string(boundary))
        .raw(", measured or modelled as each bar says.</p>\n");
    page.chart("energy-parts", "Energy of " + which + " by part", height);
    page.raw("</section>\n");
  }
  if (input.profile || input.table)
    facts(page, input);
  page.raw("</main>\n");

  if (charts) {
    Json labels = Json::array();
    Json runs = runs_json(input.runs, labels);
    const Json data = {
        {"boundary", to_string(boundary)},
        {"front", input.table ? front_json(*input.table) : Json::array()},
        {"front_origin", input.table ? front_origin(*input.table) : ""},
        {"latency", bars_json(bars, latency_names,
                              [](const Bar& bar) { return values_of(bar.prediction.latency); })},
        {"energy",
         bars_json(bars, energy_names,
                   [&](const Bar& bar) { return values_of(bar.prediction.energy, boundary); })},
        {"policy_energy", policy_energy(input.runs, boundary)},
        {"runs", std::move(runs)},
        {"labels", std::move(labels)}};
    page.raw("<script type=\"application/json\" id=\"data\">")
        .raw(escape_json_for_script(data.dump(-1, ' ', true, Json::error_handler_t::replace)))
        .raw("</script>\n<script>")
        .raw(escape_source_for_script(input.chart_js))
        .raw("\n</script>\n<script>")
        .raw(page_script())
        .raw("</script>\n");
  }
  page.raw("</body></html>\n");
  return page.take();
}

}  // namespace cleave::inline v0::report
