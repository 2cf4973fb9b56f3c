#include "bench/link/compare.hpp"

#include "bench/link/process.hpp"

#include <algorithm>
#include <cstdio>
#include <filesystem>
#include <random>
#include <sstream>

namespace bench_link {
namespace {

constexpr std::size_t small_call = 64;        // bytes of a round trip
constexpr std::size_t large_wait = 4U << 20;  // what a small call waits behind
constexpr std::size_t small_wait = 1U << 10;

std::vector<std::string> role(const std::vector<std::string>& prefix,
                              std::initializer_list<std::string> arguments) {
  std::vector<std::string> all = prefix;
  all.push_back(std::filesystem::read_symlink("/proc/self/exe"));
  all.insert(all.end(), arguments);
  return all;
}

// A peer's two processes, which live for the whole run and sleep when it is not their turn.
class Pair {
 public:
  Pair(const Peer& peer, const Options& options)
      : server_(role(options.server_prefix,
                     {"--role", "server", "--peer", peer.name, "--address", options.address})),
        client_(role(options.client_prefix, {"--role", "client", "--peer", peer.name, "--address",
                                             options.address, "--port", server_.listen()})) {
    client_.listen();
  }
  std::vector<double> ask(const std::string& line) {
    std::istringstream reply(client_.ask(line));
    std::vector<double> numbers;
    for (double number = 0; reply >> number;) numbers.push_back(number);
    return numbers;
  }
  double server_seconds() { return std::stod(server_.ask("seconds")); }

 private:
  Process server_, client_;
};

struct Turn {
  Key key;
  Pair* pair = nullptr;
  std::size_t count = 0;

  [[nodiscard]] std::string line() const {
    std::ostringstream line;
    if (key.what == "goodput")
      line << "send " << key.bytes << ' ' << key.in_flight << ' ' << count << ' ' << key.call;
    else if (key.what == "round")
      line << "round " << key.bytes << ' ' << count;
    else
      line << "wait " << large_wait << ' ' << key.bytes << ' ' << count;
    return line.str();
  }

  void measure(Samples& samples) const {
    const double before = pair->server_seconds();
    const std::vector<double> numbers = pair->ask(line());
    if (key.what == "goodput") {
      const auto bytes = static_cast<double>(key.bytes * count);
      samples[key].push_back(bytes / numbers.at(0));
      Key seconds = key;
      seconds.what = "send cpu";
      samples[seconds].push_back(numbers.at(1) / bytes);
      seconds.what = "receive cpu";
      samples[seconds].push_back((pair->server_seconds() - before) / bytes);
    } else if (key.what == "round") {
      samples[key].push_back(numbers.at(0));
    } else {
      Key percentile = key;
      for (std::size_t i = 0; i < 2; ++i) {
        percentile.what = i == 0 ? "wait p50" : "wait p95";
        samples[percentile].push_back(numbers.at(i));
      }
    }
  }

  // As many tensors as take the time that is asked for, and warm.
  void calibrate(double seconds) {
    count = std::clamp<std::size_t>((4U << 20) / key.bytes, key.in_flight, 256);
    for (int i = 0; i < 2; ++i) {
      const double took = pair->ask(line()).at(0);
      const double wanted = static_cast<double>(count) * seconds / took;
      count = std::max(2 * key.in_flight, static_cast<std::size_t>(std::min(wanted, 1e6)));
    }
  }
};

class Run {
 public:
  Run(const std::vector<Peer>& peers, const Options& options) : options_(options) {
    for (const Peer& peer : peers) pairs_.emplace(peer.name, std::make_unique<Pair>(peer, options));
  }

  Samples all() {
    const auto asked = [&](const char* what) {
      return std::find(options_.what.begin(), options_.what.end(), what) != options_.what.end();
    };
    if (asked("round"))
      group(turns("round", small_call, 1), "round trips");
    if (asked("wait"))
      group(turns("wait", small_wait, 1), "waits");
    for (const std::size_t in_flight : options_.in_flight)
      for (const std::size_t bytes : options_.sizes) {
        const std::string title =
            std::to_string(bytes >> 10U) + " KiB, " + std::to_string(in_flight) + " in flight";
        if (asked("goodput"))
          group(turns("goodput", bytes, in_flight), title);
        if (asked("tls"))
          group(turns("tls", bytes, in_flight), title + ", TLS");
      }
    return std::move(samples_);
  }

 private:
  std::vector<Turn> turns(const std::string& what, std::size_t bytes, std::size_t in_flight) {
    std::vector<Turn> all;
    for (const auto& [name, pair] : pairs_) {
      const bool framed = name == "raw" || name == "tls";
      const bool encrypted = name.find("tls") != std::string::npos;
      const bool only_rounds =
          name == "asio" || name == "cleave-inline" || name == "cleave-callback";
      Turn turn{{what, name, bytes, in_flight, 0}, pair.get(), 0};
      if (what == "round" && !encrypted) {
        turn.count = options_.round_trips;
        all.push_back(turn);
      } else if (what == "wait" && (name == "cleave" || name == "grpc")) {
        turn.count = 60;
        all.push_back(turn);
      } else if ((what == "goodput" && !encrypted && !only_rounds) ||
                 (what == "tls" && encrypted)) {
        turn.key.what = "goodput";
        for (const std::size_t call : framed ? options_.calls : std::vector<std::size_t>{0}) {
          // A longer call than the tensor is the same again.
          if (call > std::max(bytes, options_.calls.front()))
            break;
          turn.key.call = call;
          all.push_back(turn);
        }
      }
    }
    return all;
  }

  void group(std::vector<Turn> all, const std::string& title) {
    if (all.empty())
      return;
    std::fprintf(stderr, "%s ...\n", title.c_str());
    for (Turn& turn : all)
      if (turn.key.what == "goodput")
        turn.calibrate(options_.seconds);
      else if (turn.key.what == "round")
        turn.pair->ask(turn.line());
    for (std::size_t i = 0; i < options_.alternations; ++i) {
      std::shuffle(all.begin(), all.end(), order_);
      for (const Turn& turn : all) turn.measure(samples_);
    }
  }

  const Options& options_;
  std::map<std::string, std::unique_ptr<Pair>> pairs_;
  std::mt19937_64 order_{options_.seed};
  Samples samples_;
};

}  // namespace

Samples compare(const std::vector<Peer>& peers, const Options& options) {
  return Run(peers, options).all();
}

}  // namespace bench_link
