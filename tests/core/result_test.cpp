#include <cleave/core/ids.hpp>
#include <cleave/core/result.hpp>
#include <cleave/core/version.hpp>

#include <gtest/gtest.h>

#include <set>
#include <string>

namespace {

using namespace cleave::core;

TEST(Error, SaysWhereWhatAndWhatToDoInOneLine) {
  const Error error{Errc::not_found, "no such file", "model.pt", "check the path"};
  EXPECT_EQ(error.message(), "model.pt: no such file (check the path)");
  EXPECT_EQ((Error{Errc::io, "broken", "", ""}).message(), "broken");
  EXPECT_EQ((Error{Errc::timed_out, "", "10.0.0.1:9", ""}).message(), "10.0.0.1:9: timed out");
}

TEST(Error, EveryCodeHasAnotherName) {
  std::set<std::string_view> names;
  for (int code = 0; code <= static_cast<int>(Errc::internal); ++code)
    names.insert(to_string(static_cast<Errc>(code)));
  EXPECT_EQ(names.size(), static_cast<std::size_t>(Errc::internal) + 1);
  EXPECT_FALSE(names.contains("unknown"));
}

TEST(Result, PassesAnErrorOnAcrossValueTypes) {
  const Result<int> inner = fail(Errc::refused, "busy", "peer");
  const Result<std::string> outer = fail(inner);
  ASSERT_FALSE(outer);
  EXPECT_EQ(outer.error().code, Errc::refused);
  EXPECT_EQ(outer.error().message(), "peer: busy");
}

TEST(Ids, ComeBackFromTheirText) {
  for (const std::uint64_t value :
       {0ull, 1ull, 0x123456789abcdefull, 0xffffffffffffffffull, 0x8000000000000000ull}) {
    const CutId cut{value};
    EXPECT_EQ(to_string(cut).size(), 16u);
    EXPECT_EQ(parse_cut_id(to_string(cut)), cut);
    const Fingerprint fingerprint{value, ~value};
    EXPECT_EQ(to_string(fingerprint).size(), 33u);
    EXPECT_EQ(parse_fingerprint(to_string(fingerprint)), fingerprint);
  }
  EXPECT_EQ(to_string(CutId{0xabc}), "0000000000000abc");
}

TEST(Ids, OtherTextIsNoId) {
  for (const char* text : {"", "abc", "0000000000000abg", "0000000000000abc0", "-000000000000abc",
                           "+000000000000abc", "0x00000000000abc", " 000000000000abc"})
    EXPECT_FALSE(parse_cut_id(text)) << text;
  const std::string half = "0000000000000abc";
  EXPECT_FALSE(parse_fingerprint(half));
  EXPECT_FALSE(parse_fingerprint(half + "_" + half));
  EXPECT_FALSE(parse_fingerprint(half + "-" + half + "0"));
  EXPECT_FALSE(parse_fingerprint(half + "-zzzzzzzzzzzzzzzz"));
}

TEST(Version, IsThatOfTheHeaders) {
  EXPECT_EQ(version(), std::to_string(version_major) + "." + std::to_string(version_minor) + "." +
                           std::to_string(version_patch));
}

TEST(Error, AMessageIsOneLineWhateverTheNamesInItHold) {
  const cleave::core::Error error{cleave::core::Errc::not_found, "no codec 'a\nb\x1b[2J'", "x\ry",
                                  "t\tu"};
  EXPECT_EQ(error.message(), "x y: no codec 'a b [2J' (t u)");
}

}  // namespace
