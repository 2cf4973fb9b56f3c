#include "tests/support/fake_endpoint.hpp"

#include <cleave/runtime/cloud_group.hpp>

#include <gtest/gtest.h>

#include <random>

namespace cleave::tests {
namespace {

using core::Errc;
using core::milliseconds;
using core::Seconds;

class CloudGroupTest : public testing::Test {
 protected:
  std::vector<std::shared_ptr<FakeEndpoint>> endpoints;
  std::shared_ptr<runtime::CloudGroup> group;

  void make(int count) {
    std::vector<std::shared_ptr<runtime::Cloud>> clouds;
    for (int i = 0; i < count; ++i) {
      endpoints.push_back(std::make_shared<FakeEndpoint>("cloud" + std::to_string(i)));
      endpoints.back()->answer = [](const exec::RemoteCall&) { return exec::RemoteReply{}; };
      clouds.push_back(endpoints.back());
    }
    group = *runtime::CloudGroup::make(clouds);
  }

  // The number of the endpoint that a request of `choice` goes to, -1: none.
  int taken_by(const exec::RemoteChoice& choice) {
    exec::RemoteCall call{"infer", "tail", {}};
    call.choice = choice;
    std::vector<int> before;
    for (const auto& endpoint : endpoints) before.push_back(endpoint->starts);
    int answers = 0;
    const auto started = group->start(call, [&](auto) { ++answers; });
    EXPECT_EQ(answers, 1);
    int taken = -1;
    for (std::size_t i = 0; i < endpoints.size(); ++i)
      if (endpoints[i]->starts != before[i])
        taken = static_cast<int>(i);
    EXPECT_EQ(started.endpoint.has_value(), taken >= 0);
    if (started.endpoint) {
      EXPECT_EQ(static_cast<int>(*started.endpoint), taken);
    }
    EXPECT_EQ(group->available(choice), taken >= 0);
    return taken;
  }
};

TEST_F(CloudGroupTest, EachRequestGoesWhereItIsExpectedToBeFinishedFirst) {
  make(2);
  // Near and narrow; far and wide.
  endpoints[0]->link = {milliseconds(1), core::BytesPerSecond(1e6), core::BytesPerSecond(1e6)};
  endpoints[1]->link = {milliseconds(50), core::BytesPerSecond(1e8), core::BytesPerSecond(1e8)};
  exec::RemoteChoice choice;
  choice.body = core::Bytes(10'000);  // 11 ms against 50.1
  EXPECT_EQ(taken_by(choice), 0);
  choice.body = core::Bytes(100'000);  // 101 ms against 51
  EXPECT_EQ(taken_by(choice), 1);
  endpoints[1]->queued = milliseconds(60);
  EXPECT_EQ(taken_by(choice), 0);
}

TEST_F(CloudGroupTest, ChoosesAsTryingAllWouldForAnyStates) {
  make(5);
  std::mt19937 random(3);
  const auto number = [&](double most) {
    return most * static_cast<double>(random() % 1000) / 1000;
  };
  for (int trial = 0; trial < 5000; ++trial) {
    for (const auto& endpoint : endpoints) {
      endpoint->up = random() % 4 != 0;
      endpoint->queued = Seconds(number(0.1));
      endpoint->link.reset();
      if (random() % 3 != 0)
        endpoint->link = {Seconds(number(0.1)), core::BytesPerSecond(1e3 + number(1e7)),
                          core::BytesPerSecond(1e6)};
      endpoint->only.reset();
      if (random() % 5 == 0)
        endpoint->only = core::Fingerprint{9, 9};
    }
    exec::RemoteChoice choice;
    choice.body = core::Bytes(number(1e6));
    choice.work = Seconds(number(0.05));
    choice.avoid = random() % 3 == 0 ? random() % 32 : 0;
    choice.alternative = Seconds(number(0.3));
    choice.model = core::Fingerprint{1, 1};
    int best = -1;
    double least = 1e9;
    for (int i = 0; i < 5; ++i) {
      const FakeEndpoint& e = *endpoints[static_cast<std::size_t>(i)];
      const double link =
          e.link ? e.link->round_trip.count() + choice.body.count() / e.link->up.count() : 0;
      const double finish = link + e.queued.count() + choice.work.count();
      const bool tried = (choice.avoid & (1U << i)) != 0;
      const bool allowed = choice.avoid == 0 || finish < choice.alternative.count();
      if (e.up && !e.only && !tried && allowed && finish < least - 1e-12) {
        best = i;
        least = finish;
      }
    }
    EXPECT_EQ(taken_by(choice), best) << "trial " << trial;
  }
}

TEST_F(CloudGroupTest, IsReachableAsLongAsOneEndpointIs) {
  make(2);
  endpoints[0]->up = false;
  EXPECT_TRUE(group->reachable());
  EXPECT_EQ(taken_by({}), 1);
  endpoints[1]->up = false;
  EXPECT_FALSE(group->reachable());
  EXPECT_EQ(taken_by({}), -1);
  const auto reply = group->call({"infer", "tail", {}});
  ASSERT_FALSE(reply);
  EXPECT_EQ(reply.error().code, Errc::unavailable);
  EXPECT_NE(reply.error().message().find("cloud0, cloud1"), std::string::npos);
}

TEST_F(CloudGroupTest, OnlyAModelThatNoReachableEndpointServesIsAnError) {
  make(2);
  const core::Fingerprint mine{1, 1};
  endpoints[0]->only = core::Fingerprint{2, 2};
  EXPECT_TRUE(group->require(mine));
  EXPECT_TRUE(group->serves(mine));
  endpoints[1]->up = false;
  EXPECT_EQ(group->require(mine).error().code, Errc::mismatch);
  endpoints[0]->up = false;
  EXPECT_TRUE(group->require(mine));
  EXPECT_FALSE(group->serves(mine));
}

TEST_F(CloudGroupTest, DistrustReachesTheEndpointThatEarnedIt) {
  make(3);
  group->distrust(2);
  group->distrust(17);
  EXPECT_EQ(endpoints[0]->distrusted + endpoints[1]->distrusted, 0);
  EXPECT_EQ(endpoints[2]->distrusted, 1);
}

TEST_F(CloudGroupTest, RefusesWhatIsNoGroup) {
  EXPECT_EQ(runtime::CloudGroup::make({}).error().code, Errc::invalid_argument);
  EXPECT_EQ(runtime::CloudGroup::make({nullptr}).error().code, Errc::invalid_argument);
  std::vector<std::shared_ptr<runtime::Cloud>> many(65, std::make_shared<FakeEndpoint>("one"));
  EXPECT_EQ(runtime::CloudGroup::make(many).error().code, Errc::invalid_argument);
}

}  // namespace
}  // namespace cleave::tests
