// cleave_bench_link: the link side by side with a raw socket, ZeroMQ and gRPC, in one run.
#include "bench/link/compare.hpp"
#include "bench/link/report.hpp"
#include "bench/link/roles.hpp"

#include <algorithm>
#include <csignal>
#include <cstdio>
#include <exception>
#include <sstream>

namespace bench_link {
namespace {

constexpr const char* usage =
    "usage: cleave_bench_link [OPTION VALUE]...\n"
    "  --what LIST          of goodput, round, wait, tls (goodput,round,tls)\n"
    "  --peers LIST         of raw, asio, cleave, cleave-inline, cleave-callback, zeromq, grpc, "
    "tls,\n"
    "                       cleave-tls (all)\n"
    "  --sizes LIST         bytes of the tensors; K and M may follow "
    "(4K,16K,64K,256K,512K,1M,4M,16M)\n"
    "  --in-flight LIST     tensors sent without an answer (1,8)\n"
    "  --calls LIST         bytes of one write or read of the raw sockets, rising; the best "
    "counts\n"
    "                       (64K,128K,256K,512K,1M)\n"
    "  --alternations N     turns of each peer (21)\n"
    "  --seconds S          of one measurement, about (0.05)\n"
    "  --rate BITS          a second that a shaper lets pass, counted in Ethernet frames: prints "
    "the\n"
    "                       share of it that was used\n"
    "  --csv FILE           every sample\n"
    "  --address A          where the servers listen (127.0.0.1)\n"
    "  --server-prefix C, --client-prefix C\n"
    "                       a command before the servers' and clients', as 'ip netns exec NAME'\n"
    "  --seed N             of the order of turns (1)\n";

struct Arguments {
  Options options;
  std::string role, peer;
  std::uint16_t port = 0;
};

std::vector<std::string> split(const std::string& text, char at) {
  std::vector<std::string> parts;
  std::istringstream in(text);
  for (std::string part; std::getline(in, part, at);)
    if (!part.empty())
      parts.push_back(part);
  return parts;
}

std::vector<std::size_t> numbers(const std::string& text) {
  std::vector<std::size_t> all;
  for (const std::string& part : split(text, ',')) {
    std::size_t used = 0;
    const std::size_t number = std::stoul(part, &used);
    const std::string unit = part.substr(used);
    if (unit != "" && unit != "K" && unit != "M")
      throw std::invalid_argument("not a number of bytes: " + part);
    all.push_back(number << (unit == "K" ? 10U : unit == "M" ? 20U : 0U));
    if (all.back() == 0)
      throw std::invalid_argument("nothing to send: " + part);
  }
  return all;
}

Arguments parse(int argc, char** argv) {
  Arguments a;
  Options& o = a.options;
  for (int i = 1; i < argc; i += 2) {
    const std::string option = argv[i];
    if (i + 1 == argc)
      throw std::invalid_argument(option + " needs a value");
    const std::string value = argv[i + 1];
    if (option == "--what")
      o.what = split(value, ',');
    else if (option == "--peers")
      o.peers = split(value, ',');
    else if (option == "--sizes")
      o.sizes = numbers(value);
    else if (option == "--in-flight")
      o.in_flight = numbers(value);
    else if (option == "--calls")
      o.calls = numbers(value);
    else if (option == "--alternations")
      o.alternations = std::stoul(value);
    else if (option == "--seconds")
      o.seconds = std::stod(value);
    else if (option == "--rate")
      o.rate = std::stod(value);
    else if (option == "--csv")
      o.csv = value;
    else if (option == "--address")
      o.address = value;
    else if (option == "--server-prefix")
      o.server_prefix = split(value, ' ');
    else if (option == "--client-prefix")
      o.client_prefix = split(value, ' ');
    else if (option == "--seed")
      o.seed = std::stoul(value);
    else if (option == "--role")  // what the child processes are started with
      a.role = value;
    else if (option == "--peer")
      a.peer = value;
    else if (option == "--port")
      a.port = static_cast<std::uint16_t>(std::stoul(value));
    else
      throw std::invalid_argument("unknown option " + option);
  }
  return a;
}

std::vector<Peer> installed() {
  std::vector<Peer> all{raw_peer(),
                        asio_peer(),
                        cleave_call_peer(),
                        cleave_inline_peer(),
                        cleave_callback_peer(),
                        tls_peer(),
                        cleave_tls_peer()};
#ifdef CLEAVE_BENCH_ZEROMQ
  all.push_back(zeromq_peer());
#endif
#ifdef CLEAVE_BENCH_GRPC
  all.push_back(grpc_peer());
#endif
  return all;
}

std::vector<std::string> not_installed() {
  return {
#ifndef CLEAVE_BENCH_ZEROMQ
      "zeromq",
#endif
#ifndef CLEAVE_BENCH_GRPC
      "grpc",
#endif
  };
}

int child(const Arguments& arguments) {
  for (const Peer& peer : installed())
    if (peer.name == arguments.peer)
      return arguments.role == "server"
                 ? run_server(peer, arguments.options.address)
                 : run_client(peer, {arguments.options.address, arguments.port});
  std::printf("error there is no peer %s\n", arguments.peer.c_str());
  return 2;
}

int parent(const Options& options) {
  std::vector<Peer> peers;
  for (const Peer& peer : installed())
    if (options.peers.empty() ||
        std::find(options.peers.begin(), options.peers.end(), peer.name) != options.peers.end())
      peers.push_back(peer);
  if (peers.empty())
    throw std::invalid_argument("none of these peers is there");
  const Samples samples = compare(peers, options);
  print(samples, options, not_installed());
  if (!options.csv.empty())
    write_csv(samples, options.csv);
  return 0;
}

}  // namespace
}  // namespace bench_link

int main(int argc, char** argv) {
  std::signal(SIGPIPE, SIG_IGN);
  if (argc == 2 && std::string(argv[1]) == "--help") {
    std::fputs(bench_link::usage, stdout);
    return 0;
  }
  try {
    const bench_link::Arguments arguments = bench_link::parse(argc, argv);
    return arguments.role.empty() ? bench_link::parent(arguments.options)
                                  : bench_link::child(arguments);
  } catch (const std::invalid_argument& e) {
    std::fprintf(stderr, "cleave_bench_link: %s\n%s", e.what(), bench_link::usage);
    return 2;
  } catch (const std::exception& e) {
    std::fprintf(stderr, "cleave_bench_link: %s\n", e.what());
    return 1;
  }
}
