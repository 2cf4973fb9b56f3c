// The cloud of the chaos test: `cleave_chaos_server PORT`. Says "PORT\n" on standard output when it
// listens, and ends when standard input does.
#include "tests/chaos/network.hpp"

#include <cleave/runtime/cloud_server.hpp>

#include <unistd.h>

#include <cstdio>
#include <cstdlib>

int main(int argc, char** argv) {
  using namespace cleave;
  if (argc != 2)
    return 2;
  const auto models = std::make_shared<exec::ModelStore>();
  models->put(tests::chaos_network());
  runtime::CloudServerOptions options;
  options.port = static_cast<std::uint16_t>(std::atoi(argv[1]));
  options.max_queued = 256;
  // All clients come from one address, and most of what they break is not their fault.
  options.peers.max_connections_per_address = 256;
  options.peers.max_handshakes_per_address = options.peers.max_handshakes;
  options.peers.max_failures_per_address = 0;
  const auto server = runtime::CloudServer::start(options, models);
  if (!server) {
    std::fprintf(stderr, "%s\n", server.error().message().c_str());
    return 1;
  }
  std::printf("%u\n", (*server)->port());
  std::fflush(stdout);
  char byte = 0;
  while (::read(STDIN_FILENO, &byte, 1) > 0) {
  }
  return 0;
}
