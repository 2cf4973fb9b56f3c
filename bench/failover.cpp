// What a request costs while the cloud is away, beyond the same request on the edge alone: against
// the promise of a millisecond.
#include "tests/support/fake_table.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <string>
#include <vector>

namespace {

using namespace cleave;
using core::Seconds;

constexpr int requests = 1000;

std::unique_ptr<runtime::EdgeClient> open(const std::shared_ptr<tests::FakeExecutable>& model,
                                          std::shared_ptr<runtime::Cloud> cloud,
                                          const std::string& policy) {
  runtime::EdgeOptions options;
  options.model = model;
  options.table = std::make_shared<table::ParetoTable>(tests::table_of(*model));
  options.cloud = std::move(cloud);
  options.policy = policy;
  options.workers = 0;
  return runtime::EdgeClient::open(std::move(options)).value();
}

struct Times {
  double median, p99, most;  // seconds
};

Times measure(runtime::EdgeClient& client, const core::Values& inputs) {
  std::vector<double> times;
  for (int i = 0; i < requests; ++i) {
    const auto start = std::chrono::steady_clock::now();
    runtime::Request request;
    request.inputs = inputs;
    request.deadline = Seconds(1);
    if (!client.infer(request))
      std::abort();
    times.push_back(
        std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count());
  }
  std::sort(times.begin(), times.end());
  return {times[times.size() / 2], times[times.size() * 99 / 100], times.back()};
}

}  // namespace

int main() {
  // 1 MB cross the cut, so encoding for nothing would show.
  const auto model =
      std::make_shared<tests::FakeExecutable>(std::vector<Seconds>(3), std::int64_t{1} << 18);
  const auto models = std::make_shared<exec::ModelStore>();
  models->put(model);
  runtime::CloudServerOptions serving;
  serving.port = 0;
  auto server = runtime::CloudServer::start(serving, models).value();
  runtime::CloudLinkOptions options;
  options.host = "127.0.0.1";
  options.port = server->port();
  const auto link = std::make_shared<runtime::CloudLink>(options);
  if (!link->wait_connected(Seconds(30)))
    return 1;
  const auto alone = open(model, nullptr, "all-edge");
  const auto cleave = open(model, link, "cleave");
  const auto stubborn = open(model, link, "all-cloud");
  server.reset();
  while (link->reachable()) {
  }
  const core::Values inputs = model->example();
  measure(*alone, inputs);  // warm-up
  const Times edge = measure(*alone, inputs), open_breaker = measure(*cleave, inputs),
              all_cloud = measure(*stubborn, inputs);
  std::printf("a request while the cloud is away, %d each; reconnecting goes on beside it\n",
              requests);
  std::printf("%-42s %10s %10s %10s\n", "", "median us", "p99 us", "most us");
  const auto line = [](const char* name, const Times& t) {
    std::printf("%-42s %10.1f %10.1f %10.1f\n", name, t.median * 1e6, t.p99 * 1e6, t.most * 1e6);
  };
  line("edge alone, no cloud configured", edge);
  line("cleave, breaker open", open_breaker);
  line("all-cloud, breaker open", all_cloud);
  std::printf(
      "extra per request (medians): cleave %.1f us, all-cloud %.1f us; %.4f and %.4f of "
      "the promised millisecond\n",
      (open_breaker.median - edge.median) * 1e6, (all_cloud.median - edge.median) * 1e6,
      (open_breaker.median - edge.median) * 1e3, (all_cloud.median - edge.median) * 1e3);
  return 0;
}
