#include "tests/report/sample.hpp"

#include <cleave/report/terminal.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace {

using namespace cleave;
using core::Seconds;
using report::display_width;
using report::format;
using report::TextTable;

TEST(TextTable, AlignsColumnsByCellsNotBytes) {
  TextTable table({{"name"}, {"value", TextTable::Align::right}});
  table.add_row({"caf\xc3\xa9", "1"});
  table.add_row({"\xe6\x9d\xb1\xe4\xba\xac", "1234567"});  // two wide characters
  table.add_row({"e\xcc\x81", "2"});                       // e and a combining accent
  table.add_row({"x"});
  EXPECT_EQ(table.text(),
            "name    value\n"
            "----  -------\n"
            "caf\xc3\xa9        1\n"
            "\xe6\x9d\xb1\xe4\xba\xac  1234567\n"
            "e\xcc\x81           2\n"
            "x\n");
}

TEST(TextTable, WidthCountsCells) {
  EXPECT_EQ(display_width(""), 0u);
  EXPECT_EQ(display_width("abc"), 3u);
  EXPECT_EQ(display_width("\xf0\x9f\x98\x80"), 2u);
  EXPECT_EQ(display_width("\xff\xc3"), 2u);
  EXPECT_EQ(display_width("\xe6\x9d"), 2u);      // cut short: two bytes that are no UTF-8
  EXPECT_EQ(display_width("\xed\xa0\x80"), 3u);  // a surrogate
}

TEST(TextTable, EscapeSequencesDoNotReachTheTerminal) {
  TextTable table({{"a"}});
  table.add_row({"\x1b[31mred\n\x9b\xff"});
  const std::string text = table.text();
  EXPECT_EQ(text.find('\x1b'), std::string::npos);
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
  EXPECT_NE(text.find("\xef\xbf\xbd[31mred\xef\xbf\xbd"), std::string::npos);
}

TEST(Format, ThreeDigitsAndTheUnitPeopleUse) {
  EXPECT_EQ(format(Seconds(1.2345)), "1.23 s");
  EXPECT_EQ(format(Seconds(0.012345)), "12.3 ms");
  EXPECT_EQ(format(Seconds(0.9999)), "1.00 s");
  EXPECT_EQ(format(Seconds(0.000456)), "456 us");
  EXPECT_EQ(format(Seconds(99.96)), "100 s");
  EXPECT_EQ(format(Seconds(1e-12)), "0.00 ns");
  EXPECT_EQ(format(Seconds(0)), "0 ns");
  EXPECT_EQ(format(Seconds(NAN)), "-");
  EXPECT_EQ(format(Seconds(INFINITY)), "-");
  EXPECT_EQ(format(core::Joules(0.0456)), "45.6 mJ");
  EXPECT_EQ(format(core::Bytes(512)), "512 B");
  EXPECT_EQ(format(core::Bytes(1.5e6)), "1.50 MB");
  EXPECT_EQ(format(core::megabits_per_second(20)), "20.0 Mbit/s");
  EXPECT_EQ(report::percent(0.9134), "91.3 %");
  EXPECT_EQ(report::percent(NAN), "-");
}

TEST(PolicyTable, HasALinePerPolicyWithBoundaryAndOrigin) {
  table::RunSummary s;
  s.policy = "cleave";
  s.boundary = core::Boundary::edge_cloud_device;
  s.origin = core::Origin::modelled;
  s.requests = 300;
  s.missed = 3;
  s.on_edge = 100;
  s.split = 150;
  s.on_cloud = 50;
  s.fell_back = 2;
  s.mean_energy = core::Joules(0.5);
  s.median_latency = core::milliseconds(80);
  s.p95_latency = core::milliseconds(140);
  s.accuracy = 0.915;
  const std::string text = report::policy_table({s});
  for (const char* part : {"cleave", "500 mJ", "edge+cloud device", "modelled", "80.0 ms", "140 ms",
                           "3 (1.0 %)", "91.5 %", "100/150/50", "2"})
    EXPECT_NE(text.find(part), std::string::npos) << part << "\n" << text;
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3);
}

TEST(FrontTable, ShowsBothEndsAndSaysWhatIsLeftOut) {
  const auto input = tests::sample_report();
  std::vector<std::string> labels;
  for (const auto& row : input.table->rows)
    if (row.on_front)
      labels.push_back(row.label);
  ASSERT_GT(labels.size(), 3u);
  const std::string text = report::front_table(*input.table, 3);
  EXPECT_NE(text.find(labels.front()), std::string::npos);
  EXPECT_NE(text.find(labels.back()), std::string::npos);
  EXPECT_NE(text.find("(" + std::to_string(labels.size() - 3) + " of the "), std::string::npos);
  EXPECT_NE(text.find("energy (edge+cloud device)"), std::string::npos);
  const std::string all = report::front_table(*input.table, 1000);
  EXPECT_EQ(static_cast<std::size_t>(std::count(all.begin(), all.end(), '\n')), labels.size() + 2);
  EXPECT_EQ(report::front_table({}).find("not shown"), std::string::npos);
}

TEST(SensitivityTable, HasALinePerPartAndFactorOfWhatIsModelled) {
  auto table = *tests::sample_report().table;
  const std::string text = report::sensitivity_table(table);
  // A title, a rule, four parts at two factors.
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 10) << text;
  for (const char* part : {"edge, computing", "edge, waiting", "radio", "cloud", "-30 %", "+30 %"})
    EXPECT_NE(text.find(part), std::string::npos) << part;
  for (auto& row : table.rows) row.ingredients.origin = core::Origin::measured;
  EXPECT_EQ(report::sensitivity_table(table), "");
}

}  // namespace
