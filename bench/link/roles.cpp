#include "bench/link/roles.hpp"

#include "bench/link/statistics.hpp"

#include <sys/resource.h>

#include <exception>
#include <iostream>
#include <sstream>

namespace bench_link {
namespace {

// Of all threads of this process, in user mode and in the kernel's.
double processor_seconds() {
  rusage usage{};
  ::getrusage(RUSAGE_SELF, &usage);
  const auto of = [](const timeval& t) {
    return static_cast<double>(t.tv_sec) + 1e-6 * static_cast<double>(t.tv_usec);
  };
  return of(usage.ru_utime) + of(usage.ru_stime);
}

std::string answer(Client& client, const std::string& line) {
  std::istringstream words(line);
  std::string what;
  words >> what;
  std::ostringstream reply;
  reply.precision(9);
  if (Load load; what == "send" &&
                 words >> load.tensor_bytes >> load.in_flight >> load.count >> load.call_bytes) {
    const double before = processor_seconds();
    reply << client.send(load) << ' ';
    reply << processor_seconds() - before;
  } else if (std::size_t bytes = 0, count = 0; what == "round" && words >> bytes >> count) {
    reply << median(client.round_trips(bytes, count));
  } else if (std::size_t large = 0, small = 0; what == "wait" && words >> large >> small >> count) {
    const std::vector<double> times = client.waits(large, small, count);
    reply << quantile(times, 0.5) << ' ' << quantile(times, 0.95);
  } else {
    throw std::invalid_argument("not understood: " + line);
  }
  return reply.str();
}

}  // namespace

int run_server(const Peer& peer, const std::string& address) {
  try {
    const auto server = peer.serve(address);
    std::cout << server->port() << std::endl;
    for (std::string line; std::getline(std::cin, line);)
      std::cout << processor_seconds() << std::endl;
    return 0;
  } catch (const std::exception& e) {
    std::cout << "error " << e.what() << std::endl;
    return 1;
  }
}

int run_client(const Peer& peer, const Place& server) {
  try {
    const auto client = peer.connect(server);
    std::cout << "ready" << std::endl;
    for (std::string line; std::getline(std::cin, line);)
      std::cout << answer(*client, line) << std::endl;
    return 0;
  } catch (const std::exception& e) {
    std::cout << "error " << e.what() << std::endl;
    return 1;
  }
}

}  // namespace bench_link
