#include "tests/support/fake_executable.hpp"

#include <cleave/exec/infer_protocol.hpp>
#include <cleave/exec/infer_service.hpp>
#include <cleave/exec/link_service.hpp>
#include <cleave/transport/codec.hpp>

#include <gtest/gtest.h>

#include <cstring>
#include <limits>
#include <random>

namespace cleave::tests {
namespace {

using core::Errc;
using Bytes = std::vector<std::byte>;

exec::TailRequest some_request() {
  return {{0x1122334455667788, 0x99aabbccddeeff00}, {42}, "int8", {1, 0, 65535}, {}};
}

TEST(InferProtocol, ATailRequestSurvivesTheWire) {
  Bytes message;
  exec::write_tail_request_header(some_request(), message);
  message.push_back(std::byte{7});
  const auto parsed = exec::parse_tail_request(message);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->model, some_request().model);
  EXPECT_EQ(parsed->cut, some_request().cut);
  EXPECT_EQ(parsed->codec, "int8");
  EXPECT_EQ(parsed->levels, some_request().levels);
  ASSERT_EQ(parsed->values.size(), 1u);
  EXPECT_EQ(parsed->values[0], std::byte{7});
}

TEST(InferProtocol, EveryTruncationOfATailRequestIsCorrupt) {
  Bytes message;
  exec::write_tail_request_header(some_request(), message);
  for (std::size_t length = 0; length < message.size(); ++length) {
    const auto parsed = exec::parse_tail_request(std::span(message).first(length));
    ASSERT_FALSE(parsed) << length;
    EXPECT_EQ(parsed.error().code, Errc::corrupt);
  }
}

TEST(InferProtocol, TheBytesOfATailReplyAreTheDocumentedOnes) {
  Bytes message;
  exec::write_tail_reply_header({core::Seconds(1), core::Seconds(0.5), core::Seconds(0)}, message);
  // u8 1, then the IEEE 754 doubles 1.0, 0.5, 0.0, little-endian.
  const unsigned char expected[] = {1, 0, 0,    0,    0, 0, 0, 0xf0, 0x3f, 0, 0, 0, 0,
                                    0, 0, 0xe0, 0x3f, 0, 0, 0, 0,    0,    0, 0, 0};
  ASSERT_EQ(message.size(), sizeof expected);
  EXPECT_EQ(0, std::memcmp(message.data(), expected, sizeof expected));
}

TEST(InferProtocol, ATailReplyWithSenselessTimesIsCorrupt) {
  for (const double bad :
       {-1.0, std::numeric_limits<double>::infinity(), std::numeric_limits<double>::quiet_NaN()}) {
    Bytes message;
    exec::write_tail_reply_header({core::Seconds(0), core::Seconds(bad), core::Seconds(0)},
                                  message);
    EXPECT_FALSE(exec::parse_tail_reply(message));
  }
}

TEST(InferProtocol, ADescriptionSurvivesTheWire) {
  const exec::HostDescription description{{{1, 2}, {3, 4}}, {{"threads", {"1", "2"}}, {"x", {}}}};
  const auto parsed = exec::parse_description(exec::write_description(description));
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->models, description.models);
  ASSERT_EQ(parsed->knobs.size(), 2u);
  EXPECT_EQ(parsed->knobs[0].name, "threads");
  EXPECT_EQ(parsed->knobs[0].levels, description.knobs[0].levels);
}

// Counts that promise more than the message holds must not be believed.
TEST(InferProtocol, HostileCountsAllocateNothing) {
  Bytes message(5, std::byte{0xff});
  message[0] = std::byte{1};
  EXPECT_FALSE(exec::parse_description(message));
  EXPECT_FALSE(exec::parse_tail_request(message));
}

TEST(InferService, AnswersRandomBytesWithErrors) {
  exec::ModelStore models;
  const auto model =
      std::make_shared<FakeExecutable>(std::vector<core::Seconds>(3), std::int64_t{8});
  models.put(model);
  const exec::InferService service(models, nullptr);
  Bytes good;
  exec::write_tail_request_header({model->fingerprint(), model->cuts()[1].id, "raw", {}, {}}, good);
  ASSERT_TRUE(transport::encode_values(model->example(), **transport::find_codec("raw"), good));
  Bytes sealed = good;
  exec::seal(sealed);
  ASSERT_TRUE(service.tail(sealed));
  EXPECT_EQ(service.tail(good).error().code, Errc::corrupt);
  std::mt19937 random(7);
  for (int i = 0; i < 5000; ++i) {
    Bytes message = good;
    for (int flips = 1 + static_cast<int>(random() % 4); flips > 0; --flips)
      message[random() % message.size()] ^= static_cast<std::byte>(1 + random() % 255);
    if (random() % 4 == 0)
      message.resize(random() % message.size());
    exec::seal(message);                        // or the check would find them all
    const auto answer = service.tail(message);  // an error or some numbers, but never a crash
    if (!answer) {
      EXPECT_FALSE(answer.error().message().empty());
    }
  }
}

TEST(InferProtocol, ASealFitsItsMessageAndItsSeedOnly) {
  for (std::size_t size = 0; size < 40; ++size) {
    Bytes message;
    for (std::size_t i = 0; i < size; ++i) message.push_back(static_cast<std::byte>(i * 37));
    Bytes sealed = message;
    const std::uint64_t check = exec::seal(sealed, 11);
    const auto opened = exec::unseal(sealed, 11);
    ASSERT_TRUE(opened);
    EXPECT_EQ(Bytes(opened->message.begin(), opened->message.end()), message);
    EXPECT_EQ(opened->check, check);
    EXPECT_FALSE(exec::unseal(sealed, 12));
    for (std::size_t bit = 0; bit < sealed.size() * 8; ++bit) {
      Bytes changed = sealed;
      changed[bit / 8] ^= std::byte{1} << (bit % 8);
      EXPECT_FALSE(exec::unseal(changed, 11)) << size << " bytes, bit " << bit;
    }
    for (std::size_t length = 0; length < sealed.size(); ++length)
      EXPECT_FALSE(exec::unseal(std::span(sealed).first(length), 11));
  }
}

TEST(InferService, NamesWhatItServesWhenAskedForAnotherModel) {
  exec::ModelStore models;
  const auto model =
      std::make_shared<FakeExecutable>(std::vector<core::Seconds>(3), std::int64_t{8});
  models.put(model);
  const auto missing = models.find({1, 2});
  ASSERT_FALSE(missing);
  EXPECT_EQ(missing.error().code, Errc::not_found);
  EXPECT_NE(missing.error().message().find(to_string(model->fingerprint())), std::string::npos);
  core::Fingerprint other = model->fingerprint();
  other.weights += 1;
  EXPECT_EQ(models.find(other).error().code, Errc::mismatch);
}

TEST(ModelStore, AReplacedModelLivesAsLongAsItIsUsed) {
  exec::ModelStore models;
  auto model = std::make_shared<FakeExecutable>(std::vector<core::Seconds>(1), std::int64_t{2});
  const std::weak_ptr<FakeExecutable> watched = model;
  models.put(model);
  auto held = models.find(model->fingerprint());
  models.remove(model->fingerprint());
  model.reset();
  EXPECT_FALSE(watched.expired());
  held->reset();
  EXPECT_TRUE(watched.expired());
}

TEST(LinkService, GivesTheBytesAskedForUpToItsLimit) {
  const auto ask = [](std::uint64_t count) {
    Bytes request(8);
    std::memcpy(request.data(), &count, 8);
    return exec::answer_source(request);
  };
  EXPECT_EQ(ask(1000)->size(), 1000u);
  EXPECT_EQ(ask(exec::source_limit + 1).error().code, Errc::exhausted);
  EXPECT_EQ(exec::answer_source(Bytes(3)).error().code, Errc::corrupt);
}

}  // namespace
TEST(InferProtocol, AHeadThatIsNoPrefixCrossesAsRanges) {
  exec::TailRequest request;
  request.model = {1, 2};
  request.cut = {3};
  request.codec = "raw";
  request.levels = {4};
  std::vector<std::byte> plain, across;
  exec::write_tail_request_header(request, plain);
  request.head = {{0, 3}, {5, 6}, {9, 70000}};
  exec::write_tail_request_header(request, across);
  EXPECT_EQ(plain[0], std::byte{1});  // a peer of release 0.1 understands it
  EXPECT_EQ(across[0], std::byte{2});
  const auto parsed = exec::parse_tail_request(across);
  ASSERT_TRUE(parsed);
  EXPECT_EQ(parsed->head, request.head);
  EXPECT_TRUE(exec::parse_tail_request(plain)->head.empty());
  for (std::size_t length = 0; length < across.size(); ++length)
    EXPECT_FALSE(exec::parse_tail_request(std::span(across).first(length))) << length;
  // A count that promises more than is there, or more than is allowed, allocates nothing.
  auto damaged = across;
  for (std::size_t i = 0; i < 4; ++i) damaged[plain.size() + i] = std::byte{0xFF};
  EXPECT_FALSE(exec::parse_tail_request(damaged));
}

}  // namespace cleave::tests
