#include "tests/support/protocol_pair.hpp"

#include <gtest/gtest.h>

#include <cstring>
#include <random>

namespace {

using namespace cleave;
using core::Errc;
using core::Seconds;
using test::all;
using test::body_of;
using test::Bytes;
using test::feed;
using test::introduce;
using test::only;
using test::output;
using transport::Event;
using transport::FrameHeader;
using transport::FrameType;
using transport::Limits;
using transport::Protocol;
namespace event = transport::event;

Bytes frame(FrameType type, std::uint64_t id, std::size_t length, std::uint8_t flags = 0) {
  FrameHeader header{static_cast<std::uint32_t>(length), static_cast<std::uint8_t>(type), flags, 0,
                     id};
  Bytes bytes(sizeof header + std::min<std::size_t>(length, 64));
  std::memcpy(bytes.data(), &header, sizeof header);
  return bytes;
}

TEST(Protocol, CarriesACallAndItsReplyWhateverThePieces) {
  for (const std::size_t piece : {0U, 1U, 7U, 1000U}) {
    Protocol a(Limits{}), b(Limits{});
    introduce(a, b);
    const Bytes body = body_of(200000);
    const auto id = a.request({"infer", "tail", 3, Seconds(0.5)}, body);
    ASSERT_TRUE(id);
    const auto events = feed(b, output(a), piece);
    const auto& request = only<event::Request>(events);
    EXPECT_EQ(request.head.service, "infer");
    EXPECT_EQ(request.head.method, "tail");
    EXPECT_EQ(request.head.priority, 3);
    EXPECT_NEAR(request.head.remaining.count(), 0.5, 1e-6);
    EXPECT_EQ(request.body, body);
    b.respond(request.id, body_of(70000, 2), {Seconds(0.1), Seconds(0.2), Seconds(0.3)});
    const auto answers = feed(a, output(b), piece);
    const auto& reply = only<event::Response>(answers);
    EXPECT_EQ(reply.id, *id);
    EXPECT_EQ(reply.body, body_of(70000, 2));
    EXPECT_NEAR(reply.times.queue.count(), 0.2, 1e-6);
    EXPECT_EQ(a.outgoing_bytes() + b.outgoing_bytes() + b.unanswered(), 0U);
  }
}

TEST(Protocol, EitherSideMayCall) {
  Protocol a(Limits{}), b(Limits{});
  introduce(a, b);
  const auto of_a = a.request({"s", "m", 1, {}}, body_of(1));
  const auto of_b = b.request({"t", "n", 1, {}}, body_of(2));
  EXPECT_EQ(*of_a, *of_b);  // each side numbers its own calls
  const auto at_b = feed(b, output(a));
  const auto at_a = feed(a, output(b));
  a.respond(only<event::Request>(at_a).id, body_of(3), {});
  b.respond(only<event::Request>(at_b).id, body_of(4), {});
  EXPECT_EQ(only<event::Response>(feed(b, output(a))).body.size(), 3U);
  EXPECT_EQ(only<event::Response>(feed(a, output(b))).body.size(), 4U);
}

TEST(Protocol, NothingButHelloGoesOutBeforeThePeersHello) {
  Protocol a(Limits{}), b(Limits{});
  ASSERT_TRUE(a.request({"s", "m", 1, {}}, body_of(10)));
  const Bytes first = output(a);
  EXPECT_TRUE(output(a).empty());
  feed(b, first);
  feed(a, output(b));
  EXPECT_EQ(only<event::Request>(feed(b, output(a))).body.size(), 10U);
}

TEST(Protocol, AnUrgentRequestWaitsForOneChunkOnly) {
  Limits limits;
  limits.chunk = 1024;
  Protocol a(limits), b(Limits{});
  introduce(a, b);
  ASSERT_TRUE(a.request({"s", "large", 1, {}}, body_of(100000)));
  Bytes sent = output(a, 1);
  ASSERT_TRUE(a.request({"s", "small", 9, {}}, body_of(100)));
  const Bytes next = output(a, 1);
  sent.insert(sent.end(), next.begin(), next.end());
  EXPECT_EQ(only<event::Request>(feed(b, sent)).head.method, "small");
}

TEST(Protocol, AmongEqualsASmallOneOvertakesAndLargeOnesFollowOneAnother) {
  Limits limits;
  limits.chunk = 1024;
  Protocol a(limits), b(Limits{});
  introduce(a, b);
  ASSERT_TRUE(a.request({"s", "large", 1, {}}, body_of(100000)));
  ASSERT_TRUE(a.request({"s", "as large", 1, {}}, body_of(100000, 1)));
  EXPECT_TRUE(feed(b, output(a, 10)).empty());
  ASSERT_TRUE(a.request({"s", "small", 1, {}}, body_of(2048)));
  EXPECT_EQ(only<event::Request>(feed(b, output(a, 3))).head.method, "small");
  auto events = feed(b, output(a, 98 - 10));
  EXPECT_EQ(only<event::Request>(events).body, body_of(100000));
  EXPECT_EQ(only<event::Request>(feed(b, output(a))).body, body_of(100000, 1));
}

TEST(Protocol, ALargeOneIsNotStarvedBySmallOnes) {
  Limits limits;
  limits.chunk = 1024;
  Protocol a(limits), b(Limits{});
  introduce(a, b);
  ASSERT_TRUE(a.request({"s", "large", 1, {}}, body_of(10240)));
  std::size_t small = 0;
  for (bool large = false; !large; ++small) {
    ASSERT_LT(small, 100U);
    ASSERT_TRUE(a.request({"s", "small", 1, {}}, body_of(100)));
    auto events = feed(b, output(a, 1));
    for (const auto& request : all<event::Request>(events))
      large = large || request.head.method == "large";
  }
  EXPECT_GE(small, 30U);  // and they have most of the link
}

TEST(Protocol, RepliesComeInAnyOrder) {
  Protocol a(Limits{}), b(Limits{});
  introduce(a, b);
  const auto first = a.request({"s", "m", 1, {}}, body_of(1));
  const auto second = a.request({"s", "m", 1, {}}, body_of(2));
  feed(b, output(a));
  b.respond(*second, body_of(20), {});
  EXPECT_EQ(only<event::Response>(feed(a, output(b))).id, *second);
  b.respond_error(*first, {Errc::not_found, "what", "where", "hint"});
  const auto events = feed(a, output(b));
  EXPECT_EQ(only<event::Failed>(events).id, *first);
  EXPECT_EQ(only<event::Failed>(events).error.message(),
            (core::Error{Errc::not_found, "what", "where", "hint"}.message()));
}

TEST(Protocol, ACancelledCallGivesNoEventAndFreesItsBytes) {
  Limits limits;
  limits.chunk = 1024;
  Protocol a(limits), b(limits);
  introduce(a, b);
  const auto half_sent = a.request({"s", "m", 1, {}}, body_of(5000));
  EXPECT_TRUE(feed(b, output(a, 2)).empty());
  a.cancel(*half_sent);
  EXPECT_EQ(a.outgoing_bytes(), 0U);
  EXPECT_TRUE(feed(b, output(a)).empty());
  EXPECT_EQ(b.unanswered(), 0U);

  const auto sent = a.request({"s", "m", 1, {}}, body_of(10));
  feed(b, output(a));
  a.cancel(*sent);
  b.respond(*sent, body_of(5000), {});
  const Bytes crossing = output(b, 2);
  EXPECT_TRUE(feed(a, crossing).empty());
  EXPECT_TRUE(feed(b, output(a)).empty());  // already answered: no event
  EXPECT_EQ(b.outgoing_bytes(), 0U);
}

TEST(Protocol, APingComesBack) {
  Protocol a(Limits{}), b(Limits{});
  introduce(a, b);
  a.ping(Seconds(3));
  feed(b, output(a));
  EXPECT_NEAR(only<event::RoundTrip>(feed(a, output(b), 0, Seconds(3.25))).time.count(), 0.25,
              1e-12);
}

TEST(Protocol, SkipsFramesOfALaterVersion) {
  Protocol a(Limits{}), b(Limits{});
  introduce(a, b);
  EXPECT_TRUE(feed(b, frame(static_cast<FrameType>(77), 5, 20)).empty());
  ASSERT_TRUE(a.request({"s", "m", 1, {}}, {}));
  EXPECT_EQ(only<event::Request>(feed(b, output(a))).head.method, "m");
}

TEST(Protocol, RefusesACorruptMagicAnOversizedFrameAndANewerPeer) {
  std::vector<Event> events;
  const auto code = [&](Bytes bytes, bool introduced) {
    Protocol a(Limits{}), b(Limits{});
    if (introduced)
      introduce(a, b);
    const auto done = b.receive(bytes, Seconds(0), events);
    return done ? Errc::internal : done.error().code;
  };
  Protocol a(Limits{});
  const Bytes hello = output(a);
  Bytes magic = hello;
  magic[16] ^= std::byte{1};
  EXPECT_EQ(code(magic, false), Errc::corrupt);
  Bytes newer = hello;
  newer[20] = newer[22] = std::byte{9};
  EXPECT_EQ(code(newer, false), Errc::version);
  const std::string_view http = "GET / HTTP/1.1\r\nHost: x\r\n\r\n";
  const auto text = std::as_bytes(std::span(http));
  EXPECT_EQ(code(Bytes(text.begin(), text.end()), false), Errc::corrupt);
  EXPECT_EQ(code(frame(FrameType::data, 1, 0xFFFFFFFF), true), Errc::exhausted);
  EXPECT_EQ(code(frame(FrameType::hello, 0, 5000), false), Errc::corrupt);
  EXPECT_EQ(code(hello, true), Errc::corrupt);  // a second one
  EXPECT_EQ(code(frame(FrameType::request, 1, 3), true), Errc::corrupt);
}

TEST(Protocol, BodiesOverALimitFailTheirCallAlone) {
  Limits small;
  small.max_body = 1000;
  small.max_in_flight = 2;
  Protocol a(Limits{}), b(small);
  const auto before_hello = a.request({"s", "m", 1, {}}, body_of(2000));
  feed(b, output(a));
  const auto opened = feed(a, output(b));
  ASSERT_EQ(opened.size(), 2U);
  EXPECT_EQ(std::get<event::Failed>(opened[1]).id, *before_hello);
  EXPECT_EQ(std::get<event::Failed>(opened[1]).error.code, Errc::exhausted);
  EXPECT_EQ(a.request({"s", "m", 1, {}}, body_of(2000)).error().code, Errc::exhausted);
  for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.request({"s", "m", 1, {}}, body_of(10)));
  EXPECT_EQ(feed(b, output(a)).size(), 2U);
  EXPECT_EQ(only<event::Failed>(feed(a, output(b))).error.code, Errc::refused);
  Limits tight;
  tight.max_outgoing = 100;
  Protocol c(tight);
  ASSERT_TRUE(c.request({"s", "m", 1, {}}, body_of(60)));
  EXPECT_EQ(c.request({"s", "m", 1, {}}, body_of(60)).error().code, Errc::exhausted);
}

TEST(Protocol, GoingAwayRefusesNewRequestsAndAnswersOldOnes) {
  Protocol a(Limits{}), b(Limits{});
  introduce(a, b);
  const auto old = a.request({"s", "m", 1, {}}, body_of(1));
  feed(b, output(a));
  b.go_away("maintenance");
  EXPECT_EQ(only<event::GoAway>(feed(a, output(b))).reason, "maintenance");
  EXPECT_EQ(a.request({"s", "m", 1, {}}, {}).error().code, Errc::unavailable);
  b.respond(*old, body_of(1), {});
  EXPECT_EQ(only<event::Response>(feed(a, output(b))).id, *old);
}

TEST(Protocol, SurvivesFlippedBytes) {
  std::mt19937_64 random(5);
  Limits limits;
  limits.max_body = limits.max_incoming = 1 << 16;
  limits.chunk = 1024;
  for (int round = 0; round < 5000; ++round) {
    Protocol a(limits), b(limits);
    Bytes bytes = output(a);
    feed(a, output(b));
    for (int i = 0; i < 3; ++i) ASSERT_TRUE(a.request({"s", "m", 1, {}}, body_of(3000)));
    a.ping(Seconds(1));
    const Bytes more = output(a);
    bytes.insert(bytes.end(), more.begin(), more.end());
    for (std::uint64_t n = 1 + random() % 4; n > 0; --n)
      bytes[random() % bytes.size()] = static_cast<std::byte>(random());
    std::vector<Event> events;
    std::span<const std::byte> rest(bytes);
    while (!rest.empty()) {
      const auto part = rest.first(std::min<std::size_t>(rest.size(), 1 + random() % 2000));
      if (!b.receive(part, Seconds(1), events))
        break;
      rest = rest.subspan(part.size());
    }
    for (const Event& event : events)
      if (const auto* request = std::get_if<event::Request>(&event))
        b.respond(request->id, body_of(10), {});
    output(b);
  }
}

}  // namespace
