#include "lib/transport/tokens.hpp"

#include "lib/transport/gate.hpp"
#include "tests/support/pki.hpp"

#include <cleave/core/bytes.hpp>
#include <cleave/transport/protocol.hpp>

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <cstring>
#include <set>

namespace {

using namespace cleave;
using core::Errc;
using transport::Gate;
using transport::Tokens;
using Bytes = std::vector<std::byte>;
using Verdict = Gate::Verdict;

// Its sum is from sha256sum(1).
constexpr std::string_view known = "abcabcabcabcabcabcabcabcabcabcabc";
constexpr std::string_view known_sum =
    "b951b21038300d359ef3f6267f60236c87f347a41f4dfa5b691c3d702afbbc96";

TEST(Tokens, TheLineHoldsTheSumThatSha256sumGives) {
  EXPECT_EQ(transport::token_line(known, "camera").value(), std::string(known_sum) + " camera");
  EXPECT_EQ(transport::token_line(known, "").value(), known_sum);
}

TEST(Tokens, MadeOnesAreLongAndDifferAndAdmitted) {
  std::set<std::string> seen;
  std::string lines = "# ours\n\n";
  for (int i = 0; i < 100; ++i) {
    const std::string token = transport::make_token().value();
    EXPECT_EQ(token.size(), 43U);
    EXPECT_TRUE(transport::is_token(token));
    EXPECT_TRUE(seen.insert(token).second);
    lines += transport::token_line(token, "n" + std::to_string(i)).value() + "\r\n";
  }
  const auto tokens = Tokens::parse(lines, "here");
  ASSERT_TRUE(tokens) << tokens.error().message();
  EXPECT_EQ(tokens->size(), 100U);
  for (const std::string& token : seen) {
    EXPECT_TRUE(tokens->admits(token));
    for (const std::size_t at : {0U, 20U, 42U}) {
      std::string other = token;
      other[at] = other[at] == 'A' ? 'B' : 'A';
      EXPECT_FALSE(tokens->admits(other));
    }
    EXPECT_FALSE(tokens->admits(token.substr(1)));
    EXPECT_FALSE(tokens->admits(token + "A"));
  }
  EXPECT_FALSE(tokens->admits(""));
}

TEST(Tokens, ShortOnesAreNotAdmittedThoughTheirSumIsListed) {
  // sha256sum of "short".
  const auto tokens =
      Tokens::parse("f9b0078b5df596d2ea19010c001bbd009e651de2c57e8fb7e355f31eb9d3f739\n", "here");
  ASSERT_TRUE(tokens);
  EXPECT_FALSE(tokens->admits("short"));
  EXPECT_EQ(transport::token_line("short", "").error().code, Errc::invalid_argument);
  EXPECT_EQ(transport::token_line(std::string(257, 'a'), "").error().code, Errc::invalid_argument);
  EXPECT_EQ(transport::token_line(std::string(40, ' '), "").error().code, Errc::invalid_argument);
  EXPECT_EQ(transport::token_line(known, "two words").error().code, Errc::invalid_argument);
}

TEST(Tokens, FilesThatAreNoneSayWhichLine) {
  const std::string good(known_sum);
  for (const std::string& bad : {std::string("not a sum"), good.substr(1), good + "0",
                                 good + " a b", std::string(64, 'g')}) {
    const auto tokens = Tokens::parse(good + "\n" + bad + "\n", "here");
    ASSERT_FALSE(tokens) << bad;
    EXPECT_EQ(tokens.error().code, Errc::corrupt);
    EXPECT_NE(tokens.error().what.find("line 2"), std::string::npos);
  }
  EXPECT_EQ(Tokens::parse("# nobody\n", "here").error().code, Errc::corrupt);
  EXPECT_EQ(Tokens::load("/nowhere").error().code, Errc::not_found);
  const tests::Pki folder;
  const std::string path = folder.write("tokens", good + "\n");
  EXPECT_TRUE(Tokens::load(path));
  ASSERT_EQ(::chmod(path.c_str(), 0620), 0);
  EXPECT_EQ(Tokens::load(path).error().code, Errc::permission_denied);
}

Bytes greeting(std::string_view token) {
  transport::Protocol client({});
  client.authenticate(token);
  Bytes bytes;
  transport::OutgoingFrame frame;
  while (client.next(frame)) bytes.insert(bytes.end(), frame.head.begin(), frame.head.end());
  return bytes;
}

std::shared_ptr<const Tokens> some_tokens() {
  return std::make_shared<const Tokens>(*Tokens::parse(std::string(known_sum) + " camera", ""));
}

TEST(Gate, LetsTheRightTokenInHoweverTheBytesAreCut) {
  const Bytes all = greeting(known);
  for (std::size_t step = 1; step <= all.size(); ++step) {
    Gate gate(some_tokens());
    Verdict verdict = Verdict::undecided;
    for (std::size_t at = 0; at < all.size(); at += step) {
      ASSERT_EQ(verdict, Verdict::undecided);
      verdict = gate.feed(std::span(all).subspan(at, std::min(step, all.size() - at)));
    }
    EXPECT_EQ(verdict, Verdict::admitted);
    EXPECT_EQ(gate.told(), "camera");
    // HELLO comes out as it came in, and the protocol takes it.
    const Bytes hello = gate.take_hello();
    EXPECT_TRUE(std::equal(hello.begin(), hello.end(), all.begin()));
    transport::Protocol server({});
    std::vector<transport::Event> events;
    EXPECT_TRUE(server.receive(hello, core::Seconds(0), events));
    EXPECT_TRUE(server.ready());
  }
}

TEST(Gate, NeverWantsMoreThanTheTwoFrames) {
  const Bytes all = greeting(known);
  Gate gate(some_tokens());
  std::size_t at = 0;
  while (gate.wanted() > 0) {
    ASSERT_LE(at + gate.wanted(), all.size());
    const std::size_t count = gate.wanted();
    gate.feed(std::span(all).subspan(at, count));
    at += count;
  }
  EXPECT_EQ(at, all.size());
}

TEST(Gate, TellsTheLogWhy) {
  const auto why = [](const Bytes& bytes) {
    Gate gate(some_tokens());
    EXPECT_EQ(gate.feed(bytes), Verdict::refused);
    return gate.told();
  };
  EXPECT_EQ(why(greeting(std::string(40, 'x'))), "wrong token");
  EXPECT_EQ(why(greeting("short")), "a token that is too short or too long");
  EXPECT_EQ(why(greeting(std::string(300, 'x'))), "a token that is too short or too long");
  Bytes bytes = greeting(known);
  const auto type_at = bytes.begin() + 4;
  *type_at = std::byte{7};
  EXPECT_EQ(why(bytes), "the first frame is no hello");
  bytes = greeting(known);
  std::uint32_t length = 0;
  std::memcpy(&length, bytes.data(), sizeof length);
  bytes.resize(16 + length);
  // A request instead of a token.
  Bytes request(16);
  request[4] = std::byte{2};
  bytes.insert(bytes.end(), request.begin(), request.end());
  EXPECT_EQ(why(bytes), "no token");
  bytes[16 + length + 4] = std::byte{14};
  bytes[16 + length + 2] = std::byte{1};
  EXPECT_EQ(why(bytes), "a first frame of 65536 bytes");
}

}  // namespace
