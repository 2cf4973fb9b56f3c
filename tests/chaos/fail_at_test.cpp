// The N-th operation on the edge's socket fails, for every N: whatever breaks, there is one right
// answer, and the link comes back.
#include "tests/chaos/child.hpp"
#include "tests/chaos/faulty_sockets.hpp"
#include "tests/chaos/network.hpp"
#include "tests/support/fake_table.hpp"
#include "tests/support/quick_link.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/edge_client.hpp>

#include <gtest/gtest.h>

namespace cleave::tests {
namespace {

using core::milliseconds;
using core::Seconds;

class FailAtEvery : public testing::TestWithParam<Fault> {};

TEST_P(FailAtEvery, OperationThereIsOneRightAnswerAndTheLinkComesBack) {
  const Fault fault = GetParam();
  // Long enough that only what never comes is late.
  const Seconds deadline = fault == Fault::shortened ? Seconds(60) : milliseconds(200);
  Child server(CLEAVE_CHAOS_SERVER, 0);
  const auto model = chaos_network();
  int on_the_edge = 0, in_the_cloud = 0;
  std::uint64_t n = 1;
  for (bool untouched = false; !untouched; ++n) {
    ASSERT_LT(n, 500u);
    fault_at(n, fault);
    runtime::CloudLinkOptions options = quick_link(server.port(), n);
    options.probe_idle = false;  // or the number of operations would depend on the time
    options.heartbeat = milliseconds(50);
    options.connect_timeout = options.probe_timeout = milliseconds(500);
    const auto link = std::make_shared<runtime::CloudLink>(options);
    ASSERT_TRUE(link->wait_connected(Seconds(60)));
    runtime::EdgeOptions edge;
    edge.model = model;
    edge.table = std::make_shared<table::ParetoTable>(table_of(*model));
    edge.cloud = link;
    edge.policy = "all-cloud";
    edge.workers = 0;
    const auto client = runtime::EdgeClient::open(std::move(edge));
    ASSERT_TRUE(client) << client.error().message();
    for (int request = 0; request < 3; ++request) {
      const auto reply = (*client)->infer({.inputs = model->example(), .deadline = deadline});
      ASSERT_TRUE(reply) << "operation " << n << ": " << reply.error().message();
      EXPECT_EQ(floats_of(reply->outputs), model->expected()) << "operation " << n;
      ++(reply->fell_back ? on_the_edge : in_the_cloud);
    }
    untouched = operations() < n;
    EXPECT_TRUE(link->wait_connected(Seconds(60))) << "operation " << n;
  }
  fault_at(0, Fault::none);
  EXPECT_TRUE(server.alive());
  EXPECT_GT(n, 8u);  // hello, the question what is served, and the requests, both ways
  EXPECT_GT(in_the_cloud, 0);
  if (fault == Fault::shortened) {
    EXPECT_EQ(on_the_edge, 0);  // nothing is wrong with it
  } else {
    EXPECT_GT(on_the_edge, 0);
  }
  std::printf("%d operations failed in turn: %d answers of the cloud, %d of the edge\n",
              static_cast<int>(n) - 2, in_the_cloud, on_the_edge);
}

INSTANTIATE_TEST_SUITE_P(Socket, FailAtEvery,
                         testing::Values(Fault::broken, Fault::stalled, Fault::shortened,
                                         Fault::corrupted),
                         [](const auto& tested) {
                           return std::string(tested.param == Fault::broken      ? "broken"
                                              : tested.param == Fault::stalled   ? "stalled"
                                              : tested.param == Fault::shortened ? "shortened"
                                                                                 : "corrupted");
                         });

}  // namespace
}  // namespace cleave::tests
