// A table made with the constraint 'raw input must not leave the edge' has no row that sends it.
// Whatever happens to link, queue, deadlines and the cloud, nothing else may be sent either.
#include "tests/support/fake_endpoint.hpp"
#include "tests/support/fake_executable.hpp"
#include "tests/support/fake_table.hpp"

#include <cleave/exec/infer_protocol.hpp>
#include <cleave/runtime/cloud_group.hpp>
#include <cleave/runtime/edge_client.hpp>
#include <cleave/scheduler/scheduler.hpp>

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <cstring>
#include <random>
#include <string>
#include <vector>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;

struct Sent {
  int messages = 0, at_input_cut = 0, with_input = 0;
};

// Looks at every message, and answers, fails or talks nonsense at random.
class Watched {
 public:
  explicit Watched(std::shared_ptr<FakeExecutable> model) : model_(std::move(model)) {
    std::vector<std::shared_ptr<runtime::Cloud>> clouds;
    for (const char* name : {"near", "far"}) {
      endpoints.push_back(std::make_shared<FakeEndpoint>(name));
      endpoints.back()->answer = [this](const exec::RemoteCall& call) { return answer(call); };
      clouds.push_back(endpoints.back());
    }
    group = *runtime::CloudGroup::make(clouds);
  }

  void shuffle() {
    for (const auto& endpoint : endpoints) {
      endpoint->up = random_() % 5 != 0;
      endpoint->queued = milliseconds(static_cast<double>(random_() % 100));
      endpoint->link.reset();
      if (random_() % 4 != 0)
        endpoint->link = {milliseconds(static_cast<double>(random_() % 40)),
                          core::BytesPerSecond(std::exp2(static_cast<double>(10 + random_() % 18))),
                          core::BytesPerSecond(1e6)};
    }
  }

  std::vector<std::shared_ptr<FakeEndpoint>> endpoints;
  std::shared_ptr<runtime::CloudGroup> group;
  std::vector<std::byte> input;  // of the request under way
  Sent sent;

 private:
  core::Result<exec::RemoteReply> answer(const exec::RemoteCall& call) {
    ++sent.messages;
    const auto found = std::search(call.body.begin(), call.body.end(), input.begin(), input.end());
    sent.with_input += found != call.body.end() ? 1 : 0;
    const auto whole = exec::unseal(call.body);
    const auto request = whole ? exec::parse_tail_request(whole->message)
                               : core::Result<exec::TailRequest>(core::fail(whole));
    EXPECT_TRUE(request);
    if (request)
      sent.at_input_cut += request->cut == model_->cuts().front().id ? 1 : 0;
    constexpr Errc errors[] = {Errc::unavailable, Errc::timed_out, Errc::refused,
                               Errc::corrupt,     Errc::exhausted, Errc::not_found};
    const auto what = random_() % 8;
    if (what < 6)
      return core::fail(errors[what], "made to fail", "test");
    exec::RemoteReply reply;
    if (what == 6)
      reply.body.resize(random_() % 100);
    else
      exec::write_tail_reply_header({}, reply.body);  // and nothing in it
    return reply;
  }

  std::shared_ptr<FakeExecutable> model_;
  std::mt19937_64 random_{17};
};

// A thousand requests by each policy that the table has a row for.
Sent run(bool constrained, int* policies = nullptr) {
  const auto model = std::make_shared<FakeExecutable>(std::vector<Seconds>(4), std::int64_t{64});
  auto table = table_of(*model);
  if (constrained)
    table.rows.erase(table.rows.begin());
  const auto shared = std::make_shared<const table::ParetoTable>(std::move(table));
  Watched cloud(model);
  std::mt19937_64 random(5);
  for (const std::string_view policy : scheduler::policy_names()) {
    runtime::EdgeOptions options;
    options.model = model;
    options.table = shared;
    options.cloud = cloud.group;
    options.policy = std::string(policy);
    options.workers = 1;
    for (const auto& endpoint : cloud.endpoints) endpoint->up = true;
    auto client = runtime::EdgeClient::open(std::move(options));
    if (!client) {
      EXPECT_EQ(policy, "all-cloud") << client.error().message();
      continue;
    }
    if (policies != nullptr)
      ++*policies;
    for (int i = 0; i < 1000; ++i) {
      cloud.shuffle();
      runtime::Request request{.inputs = model->example()};
      core::Tensor& x = *request.inputs[0].tensor();
      for (std::int64_t k = 0; k < 64; ++k)
        x.data_as<float>()[k] = static_cast<float>(random() % 100'000) / 7;
      cloud.input.resize(64 * sizeof(float));
      std::memcpy(cloud.input.data(), x.data_as<float>(), cloud.input.size());
      if (random() % 3 != 0)
        request.deadline = milliseconds(static_cast<double>(random() % 30));
      request.explain = random() % 8 == 0;
      const auto reply = (*client)->infer(std::move(request));
      // It may be refused, it may not be wrong.
      if (reply) {
        std::vector<float> expected(64);
        std::memcpy(expected.data(), cloud.input.data(), cloud.input.size());
        for (std::size_t step = 0; step < 4; ++step)
          for (float& value : expected) value = value * 1.5f + static_cast<float>(step);
        EXPECT_EQ(floats_of(reply->outputs), expected);
      }
    }
  }
  return cloud.sent;
}

TEST(RawInput, StaysOnTheEdgeWhateverHappens) {
  int policies = 0;
  const Sent sent = run(true, &policies);
  EXPECT_EQ(policies, 5);  // all but all-cloud, which has no row
  EXPECT_GT(sent.messages, 1000);
  EXPECT_EQ(sent.at_input_cut, 0);
  EXPECT_EQ(sent.with_input, 0);
}

TEST(RawInput, IsSeenWhereATableAllowsIt) {
  const Sent sent = run(false);
  EXPECT_GT(sent.at_input_cut, 1000);
  EXPECT_EQ(sent.with_input, sent.at_input_cut);
}

}  // namespace
}  // namespace cleave::tests
