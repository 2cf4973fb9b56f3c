// What a request costs while the cloud is away, beyond the same request on the edge alone: against
// the promise of a millisecond.
#include "tests/support/fake_table.hpp"

#include <cleave/runtime/cloud_link.hpp>
#include <cleave/runtime/cloud_server.hpp>
#include <cleave/runtime/edge_client.hpp>

#include <algorithm>
#include <array>
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

double seconds_of(runtime::EdgeClient& client, const core::Values& inputs) {
  runtime::Request request;
  request.inputs = inputs;
  request.deadline = Seconds(1);
  const auto start = std::chrono::steady_clock::now();
  if (!client.infer(request))
    std::abort();
  return std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
}

double quantile(std::vector<double> values, double at) {
  std::sort(values.begin(), values.end());
  return values[static_cast<std::size_t>(at * static_cast<double>(values.size() - 1))];
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
  // In turn, since the machine's speed changes meanwhile; what counts is what a request took beyond
  // the edge's of the same turn.
  struct Client {
    const char* name;
    runtime::EdgeClient& client;
    std::vector<double> times = {}, extra = {};
  };
  std::array<Client, 3> clients{Client{"edge alone, no cloud configured", *alone},
                                Client{"cleave, breaker open", *cleave},
                                Client{"all-cloud, breaker open", *stubborn}};
  constexpr int warm_up = 50;
  for (int i = -warm_up; i < requests; ++i) {
    std::array<double, 3> took{};
    for (std::size_t k = 0; k < clients.size(); ++k) {
      const std::size_t turn = (k + static_cast<std::size_t>(i + warm_up)) % clients.size();
      took[turn] = seconds_of(clients[turn].client, inputs);
    }
    if (i < 0)
      continue;
    for (std::size_t k = 0; k < clients.size(); ++k) {
      clients[k].times.push_back(took[k]);
      clients[k].extra.push_back(took[k] - took[0]);
    }
  }
  std::printf("a request while the cloud is away, %d each; reconnecting goes on beside it\n",
              requests);
  std::printf("%-42s %10s %10s %10s %28s\n", "", "median us", "p99 us", "most us",
              "beyond the edge alone: us");
  for (const Client& c : clients)
    std::printf("%-42s %10.1f %10.1f %10.1f %14.1f (%.4f of 1 ms)\n", c.name,
                quantile(c.times, 0.5) * 1e6, quantile(c.times, 0.99) * 1e6,
                quantile(c.times, 1) * 1e6, quantile(c.extra, 0.5) * 1e6,
                quantile(c.extra, 0.5) * 1e3);
  return 0;
}
