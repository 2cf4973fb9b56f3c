#include "tests/report/sample.hpp"

#include <cleave/core/file.hpp>
#include <cleave/report/report.hpp>

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>
#include <unistd.h>

#include <cctype>
#include <cstdlib>

namespace {

using namespace cleave;
using report::html;
using testing::Test;
using tests::sample_report;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size()))
    ++n;
  return n;
}

// What stands between the data element's tags, read as JSON.
nlohmann::json data_of(const std::string& page) {
  const std::string open = "<script type=\"application/json\" id=\"data\">";
  const std::size_t begin = page.find(open) + open.size();
  return nlohmann::json::parse(page.substr(begin, page.find("</script>", begin) - begin));
}

// The tags outside of script and style elements, closed or not: what a browser would see.
std::vector<std::string> tags_of(const std::string& page) {
  std::vector<std::string> tags;
  for (std::size_t at = page.find('<'); at != page.npos; at = page.find('<', at)) {
    const std::size_t end = page.find('>', at);
    if (end == page.npos)
      break;
    tags.push_back(page.substr(at, end - at + 1));
    at = end;
    for (const std::string name : {"script", "style"})
      if (tags.back().starts_with("<" + name))
        at = page.find("</" + name, end);
  }
  return tags;
}

// CLEAVE_WRITE_REPORT=page.html cleave_report_tests --gtest_filter=Html.ShowsEveryPart writes the
// sample for a look at it in a browser.
TEST(Html, ShowsEveryPart) {
  auto input = sample_report();
  const auto chart = report::load_chart_js();
  input.chart_js = chart ? *chart : "/* none here */";
  const std::string page = html(input);
  if (const char* path = std::getenv("CLEAVE_WRITE_REPORT"); path != nullptr) {
    ASSERT_TRUE(core::write_file(path, page));
  }
  for (const char* part :
       {"<h2>Policies", "<h2>Every request", "<h2>Pareto front", "<h2>Latency of each cut",
        "<h2>Energy of each cut", "<h2>What was measured", "<h2>If the power model is wrong"})
    EXPECT_NE(page.find(part), std::string::npos) << part;
  const auto data = data_of(page);
  EXPECT_EQ(data["front"].size(), input.table->rows.size());
  EXPECT_EQ(data["runs"].size(), 5u);
  EXPECT_EQ(data["runs"][0]["requests"].size(), 300u);
  EXPECT_EQ(data["latency"]["bars"].size(), input.profile->cuts.size());
  for (const char* policy : {"cleave", "all-cloud", "all-edge", "front&#39;s fastest"})
    EXPECT_NE(page.find("<td class=\"name\">" + std::string(policy) + "</td>"), page.npos);
}

TEST(Html, EachCutsBarIsTheFastestOfItsConfigurations) {
  auto input = sample_report();
  input.chart_js = "x";
  const auto& p = *input.profile;
  const auto bars = data_of(html(input))["latency"]["bars"];
  for (std::size_t c = 0; c < p.cuts.size(); ++c) {
    double best = 1e9;
    for (const auto& codec : p.codecs)
      for (const auto& edge : p.hosts[0].settings)
        for (const auto& cloud : p.hosts[1].settings) {
          const auto in = price(p, {.stages = {{core::edge_host, p.cuts[c].id, edge.levels},
                                               {core::cloud_host, p.cuts.back().id, cloud.levels}},
                                    .codecs = {codec}});
          ASSERT_TRUE(in);
          best = std::min(best, compose(*in, link_of(p), core::Seconds()).latency.total().count());
        }
    double sum = 0;
    for (const double part : bars[c]["values"]) sum += part;
    EXPECT_NEAR(sum, best, 1e-12) << c;
  }
}

TEST(Html, EveryEnergyIsLabelledWithBoundaryAndOrigin) {
  auto input = sample_report();
  for (auto& outcome : input.runs[1].outcomes) outcome.energy.origin = core::Origin::measured;
  const std::string page = html(input);
  EXPECT_EQ(count(page, "<small>edge+cloud device, modelled</small>"), 4u);
  EXPECT_EQ(count(page, "<small>edge+cloud device, measured</small>"), 1u);
}

TEST(Html, SaysWhatItLeavesOut) {
  auto input = sample_report();
  input.chart_js = "x";
  EXPECT_EQ(html(input).find("at even distances"), std::string::npos);
  table::Profile& profile = *input.profile;
  const table::CutProfile early = profile.cuts.front();
  profile.cuts.insert(profile.cuts.begin(), 100, early);
  const std::string page = html(input);
  EXPECT_NE(page.find("64 of " + std::to_string(profile.cuts.size()) + " are shown"),
            std::string::npos);
  EXPECT_EQ(data_of(page)["latency"]["bars"].size(), 64U);
}

TEST(Html, NothingIsFetched) {
  auto input = sample_report();
  input.chart_js = "x";
  for (const std::string& tag : tags_of(html(input))) {
    EXPECT_EQ(tag.find(" src="), tag.npos) << tag;
    EXPECT_EQ(tag.find("href="), tag.npos) << tag;
    EXPECT_FALSE(tag.starts_with("<link")) << tag;
  }
  EXPECT_NE(html(input).find("default-src 'none'"), std::string::npos);
}

TEST(Html, HostileTextStaysText) {
  const std::string bad =
      "</script><script>alert(1)</script><img src=x onerror=\"alert(1)\"><!--'\"&\xff\x01";
  auto input = sample_report();
  input.chart_js = "x";
  const auto tags = tags_of(html(input));
  input.title = bad;
  input.note = bad;
  input.profile->model_name = bad;
  input.table->model_name = bad;
  for (auto& cut : input.profile->cuts) cut.layer = cut.op = bad;
  for (auto& host : input.profile->hosts) {
    host.name = host.board = host.source = bad;
    for (auto& knob : host.knobs) {
      knob.name = bad;
      knob.levels[0].label = bad;
    }
  }
  for (auto& row : input.table->rows) row.label = bad;
  input.table->search.algorithm = bad;
  for (auto& run : input.runs) {
    run.policy = bad;
    for (auto& outcome : run.outcomes) outcome.label = outcome.error = bad;
  }
  const std::string page = html(input);
  // The same elements as with friendly text (attributes differ where a name is part of a label).
  const auto hostile = tags_of(page);
  const auto kind = [](const std::string& tag) { return tag.substr(0, tag.find_first_of(" >")); };
  std::size_t scripts = 0;
  for (const auto& tag : hostile) {
    scripts += kind(tag) == "<script" ? 1 : 0;
    EXPECT_NE(kind(tag), "<img");
    EXPECT_NE(kind(tag), "<!--'\"");
  }
  EXPECT_EQ(scripts, 3u);
  EXPECT_EQ(page.find("<script>alert"), std::string::npos);
  EXPECT_EQ(page.find("onerror=\"alert"), std::string::npos);
  EXPECT_EQ(page.find('\xff'), std::string::npos);
  EXPECT_EQ(data_of(page)["front"][0]["label"].get<std::string>().substr(0, 9), "</script>");
  EXPECT_GT(tags.size(), 100u);
}

TEST(Html, ScriptSourceCannotEndItsElement) {
  report::ReportInput input;
  input.chart_js = "a='</script>';b='</SCRIPT ';c='<!--';if (a < b) d=/x/;";
  const std::string page = html(input);
  EXPECT_NE(page.find("<script>a='<\\/script>';b='<\\/SCRIPT ';c='<\\!--';if (a < b) d=/x/;\n"),
            std::string::npos);
  EXPECT_EQ(count(page, "</script"), 3u);
}

TEST(Html, LeavesOutWhatIsNotThere) {
  report::ReportInput input;
  input.chart_js = "x";
  const std::string page = html(input);
  EXPECT_EQ(page.find("<h2>"), std::string::npos);
  EXPECT_NE(page.find("</html>"), std::string::npos);
  auto only_table = sample_report();
  only_table.profile.reset();
  only_table.runs.clear();
  const std::string without_charts = html(only_table);
  EXPECT_EQ(without_charts.find("<canvas"), std::string::npos);
  EXPECT_EQ(without_charts.find("<script"), std::string::npos);
  EXPECT_NE(without_charts.find("<h2>Pareto front"), std::string::npos);
  auto empty_runs = sample_report();
  empty_runs.chart_js = "x";
  for (auto& run : empty_runs.runs) run.outcomes.clear();
  EXPECT_EQ(html(empty_runs).find("nan"), std::string::npos);
}

class ChartJs : public Test {
 protected:
  ChartJs() {
    std::string name = (std::filesystem::temp_directory_path() / "cleave-chart-XXXXXX").string();
    folder_ = ::mkdtemp(name.data());
  }
  ~ChartJs() override { std::filesystem::remove_all(folder_); }
  std::string code_of(const std::string& source) {
    EXPECT_TRUE(core::write_file(folder_ / "chart.js", source));
    const auto loaded = report::load_chart_js(folder_ / "chart.js");
    return loaded ? "loaded" : std::string(to_string(loaded.error().code));
  }
  std::filesystem::path folder_;
};

TEST_F(ChartJs, IsTakenInTheVersionsThatThePageIsWrittenFor) {
  EXPECT_EQ(code_of("/*!\n * Chart.js v3.9.1\n */"), "loaded");
  EXPECT_EQ(code_of("/*!\n * Chart.js v4.4.0\n */"), "loaded");
  EXPECT_EQ(code_of("/*!\n * Chart.js v2.9.4\n */"), "unsupported");
  EXPECT_EQ(code_of("alert(1)"), "unsupported");
  EXPECT_EQ(code_of("Chart.js v"), "unsupported");
  EXPECT_EQ(report::load_chart_js(folder_ / "none").error().code, core::Errc::not_found);
}

}  // namespace
