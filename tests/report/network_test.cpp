#include <cleave/report/network.hpp>
#include <cleave/report/report.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

using namespace cleave;
using report::NetworkPicture;

std::size_t count(const std::string& text, const std::string& what) {
  std::size_t n = 0;
  for (std::size_t at = text.find(what); at != text.npos; at = text.find(what, at + what.size()))
    ++n;
  return n;
}

// input -> a -> (b, view -> c) -> d: two branches, one of them through a view.
NetworkPicture diamond() {
  NetworkPicture picture;
  picture.name = "diamond";
  picture.share_of = "nothing";
  picture.codecs = {"raw", "fp16", "int8"};
  picture.steps = {{"a", "aten::conv2d", 0.5, true, {}, true},
                   {"b", "aten::relu", 0.1, true, {0}, false},
                   {"v", "aten::view", 0.0, false, {0}, false},
                   {"c", "aten::linear", 0.2, true, {2}, false},
                   {"d", "aten::add", 0.2, true, {1, 3}, false}};
  picture.cuts = {{"1111", 0, {core::Bytes(4000), core::Bytes(2000), core::Bytes(1000)}, 0, ""},
                  {"2222", 1, {core::Bytes(8000), core::Bytes(4000), core::Bytes(2000)}, 0.5, ""},
                  {"", 2, {}, 0.6, "b <later> changes it"},
                  {"3333", 5, {}, 1, ""}};
  return picture;
}

// The columns in which the circles of the steps lie.
std::set<std::string> columns(const std::string& svg) {
  std::set<std::string> found;
  for (std::size_t at = svg.find("cx=\""); at != svg.npos; at = svg.find("cx=\"", at + 4))
    found.insert(svg.substr(at + 4, svg.find('"', at + 4) - at - 4));
  return found;
}

TEST(Network, HasARowAComputingStepAndAColumnABranch) {
  const std::string svg = report::network_svg(diamond());
  EXPECT_EQ(count(svg, "<circle class=\"step\""), 4u);
  EXPECT_EQ(count(svg, "<circle class=\"in\""), 1u);
  // a is read by b and, through the view, by c; d reads both.
  EXPECT_EQ(count(svg, "<path class=\"value\""), 5u);
  EXPECT_EQ(columns(svg).size(), 2u);
  NetworkPicture chain = diamond();
  chain.steps[3].needs = {1};
  chain.steps[4].needs = {3};
  EXPECT_EQ(columns(report::network_svg(chain)).size(), 1u);
}

TEST(Network, ShowsWhatCrossesEachCutAndWhyThereIsNone) {
  const std::string svg = report::network_svg(diamond());
  EXPECT_EQ(count(svg, "class=\"c0\""), 2u);
  EXPECT_EQ(count(svg, "class=\"c2\""), 2u);
  EXPECT_NE(svg.find("cut 2222: raw 8.00 kB, fp16 4.00 kB, int8 2.00 kB; 50.0 %"), svg.npos) << svg;
  EXPECT_NE(svg.find("no cut here: b &lt;later&gt; changes it"), svg.npos);
  EXPECT_EQ(count(svg, "class=\"refused\""), 1u);
}

TEST(Network, NamesFromModelsAreHarmless) {
  NetworkPicture picture = diamond();
  picture.name = picture.steps[0].layer = "\"><script>alert(1)</script>";
  picture.steps[1].op = "\xff\xfe<b>";
  picture.cuts[0].id = "<i>";
  report::ReportInput input;
  input.network = picture;
  const std::string page = report::html(input);
  EXPECT_EQ(page.find("<script>alert"), page.npos);
  EXPECT_EQ(page.find("<i>:"), page.npos);
  EXPECT_EQ(count(page, "<svg"), 1u);
  EXPECT_EQ(count(page, "<g>"), count(page, "</g>"));
}

TEST(Network, WhatDoesNotFitTogetherIsLeftOut) {
  EXPECT_EQ(count(report::network_svg({}), "<circle"), 1u);
  NetworkPicture picture = diamond();
  picture.steps[1].needs = {4, 700};  // later steps, and such as there are not
  picture.cuts.push_back({"4444", 900, {}, 0, ""});
  EXPECT_EQ(count(report::network_svg(picture), "<circle class=\"step\""), 4u);
}

}  // namespace
