#include "bench/link/report.hpp"

#include "bench/link/statistics.hpp"

#include <cstdio>
#include <fstream>
#include <optional>
#include <set>

namespace bench_link {
namespace {

// Of the bits that a shaper counts for a full Ethernet frame, those of TCP's payload: an MTU of
// 1500 less 20 bytes of IPv4, 20 of TCP and 12 of its timestamps, and 14 of Ethernet's header (the
// frame's checksum is not counted).
constexpr double payload_share = 1448.0 / 1514.0;

struct Best {
  const std::vector<double>* samples = nullptr;
  std::size_t call = 0;
  double median = 0;
};

// The call size of the highest median over the whole run: the best of each alternation would be a
// maximum over noise.
Best best(const Samples& samples, const std::string& peer, std::size_t bytes,
          std::size_t in_flight) {
  Best found;
  for (const auto& [key, values] : samples)
    if (key.what == "goodput" && key.peer == peer && key.bytes == bytes &&
        key.in_flight == in_flight && median(values) > found.median)
      found = {&values, key.call, median(values)};
  return found;
}

std::string size_text(std::size_t bytes) {
  return bytes >= (1U << 20) ? std::to_string(bytes >> 20U) + " MiB"
                             : std::to_string(bytes >> 10U) + " KiB";
}

std::string text(const Interval& i) {
  char buffer[64];
  std::snprintf(buffer, sizeof buffer, "%.3f [%.3f, %.3f]", i.median, i.low, i.high);
  return buffer;
}

std::string ratio_text(const Best& a, const Best& b) {
  return a.samples != nullptr && b.samples != nullptr ? text(ratio(*a.samples, *b.samples)) : "-";
}

// Of cleave over raw with eight in flight.
std::optional<double> goal(std::size_t bytes) {
  if (bytes >= (4U << 20))
    return 0.97;
  if (bytes >= (1U << 20))
    return 0.90;
  if (bytes >= (256U << 10))
    return 0.80;
  return std::nullopt;
}

std::set<std::pair<std::size_t, std::size_t>> loads(const Samples& samples,
                                                    const std::string& peer) {
  std::set<std::pair<std::size_t, std::size_t>> all;
  for (const auto& [key, values] : samples)
    if (key.what == "goodput" && key.peer == peer)
      all.emplace(key.in_flight, key.bytes);
  return all;
}

void print_goodput(const Samples& samples) {
  const auto all = loads(samples, "raw");
  if (all.empty())
    return;
  std::printf(
      "\nGoodput one way, over raw of the same alternation: median [95 %% interval]\n"
      "%-8s %9s  %-18s %-23s %-6s %-23s %-23s %-23s %-23s\n",
      "tensor", "in flight", "raw GB/s (call)", "cleave/raw", "goal", "zeromq/raw", "grpc/raw",
      "cleave/zeromq", "cleave/grpc");
  for (const auto& [in_flight, bytes] : all) {
    const Best raw = best(samples, "raw", bytes, in_flight);
    const Best cleave = best(samples, "cleave", bytes, in_flight);
    const Best zeromq = best(samples, "zeromq", bytes, in_flight);
    const Best grpc = best(samples, "grpc", bytes, in_flight);
    const auto wanted = in_flight == 8 ? goal(bytes) : std::nullopt;
    char head[64], aim[16] = "-";
    std::snprintf(head, sizeof head, "%.2f (%s)", raw.median * 1e-9, size_text(raw.call).c_str());
    if (wanted)
      std::snprintf(aim, sizeof aim, "%.2f", *wanted);
    std::printf("%-8s %9zu  %-18s %-23s %-6s %-23s %-23s %-23s %-23s\n", size_text(bytes).c_str(),
                in_flight, head, ratio_text(cleave, raw).c_str(), aim,
                ratio_text(zeromq, raw).c_str(), ratio_text(grpc, raw).c_str(),
                ratio_text(cleave, zeromq).c_str(), ratio_text(cleave, grpc).c_str());
  }
}

// What is left for the network, and what a busy machine changes least.
void print_processor_time(const Samples& samples) {
  const std::vector<std::string> peers{"raw", "cleave", "zeromq", "grpc"};
  const auto all = loads(samples, "cleave");
  if (all.empty())
    return;
  std::printf("\nProcessor time in ms a GB, sender + receiver (medians)\n%-8s %9s", "tensor",
              "in flight");
  for (const auto& peer : peers) std::printf("  %-13s", peer.c_str());
  std::printf("\n");
  for (const auto& [in_flight, bytes] : all) {
    std::printf("%-8s %9zu", size_text(bytes).c_str(), in_flight);
    for (const auto& peer : peers) {
      const auto of = [&](const char* what) {
        const auto found = samples.find(
            {what, peer, bytes, in_flight, best(samples, peer, bytes, in_flight).call});
        return found == samples.end() ? 0 : median(found->second) * 1e12;
      };
      char cell[32];
      std::snprintf(cell, sizeof cell, "%.0f + %.0f", of("send cpu"), of("receive cpu"));
      std::printf("  %-13s", cell);
    }
    std::printf("\n");
  }
}

void print_link_share(const Samples& samples, double rate) {
  const double limit = rate / 8 * payload_share;
  std::printf(
      "\nGoodput over the shaped link's limit, %.2f Mbit/s of payload in %.2f Mbit/s of frames\n"
      "%-8s %9s",
      limit * 8e-6, rate * 1e-6, "tensor", "in flight");
  const std::vector<std::string> peers{"raw", "cleave", "zeromq", "grpc"};
  for (const auto& peer : peers) std::printf("  %-23s", peer.c_str());
  std::printf("\n");
  for (const auto& [in_flight, bytes] : loads(samples, "cleave")) {
    std::printf("%-8s %9zu", size_text(bytes).c_str(), in_flight);
    for (const auto& peer : peers) {
      const Best found = best(samples, peer, bytes, in_flight);
      const std::vector<double> limits(found.samples != nullptr ? found.samples->size() : 0, limit);
      std::printf("  %-23s",
                  found.samples != nullptr ? text(ratio(*found.samples, limits)).c_str() : "-");
    }
    std::printf("\n");
  }
}

void print_tls(const Samples& samples) {
  const auto all = loads(samples, "tls");
  if (all.empty())
    return;
  std::printf("\nThe same under TLS 1.3, one cipher\n%-8s %9s  %-22s %s\n", "tensor", "in flight",
              "raw TLS GB/s (call)", "cleave/raw TLS (goal 0.85 from 1 MiB)");
  for (const auto& [in_flight, bytes] : all) {
    const Best raw = best(samples, "tls", bytes, in_flight);
    char head[64];
    std::snprintf(head, sizeof head, "%.2f (%s)", raw.median * 1e-9, size_text(raw.call).c_str());
    std::printf("%-8s %9zu  %-22s %s\n", size_text(bytes).c_str(), in_flight, head,
                ratio_text(best(samples, "cleave-tls", bytes, in_flight), raw).c_str());
  }
}

void print_times(const Samples& samples) {
  const auto find = [&](const std::string& peer) -> const std::vector<double>* {
    for (const auto& [key, values] : samples)
      if (key.what == "round" && key.peer == peer)
        return &values;
    return nullptr;
  };
  bool first = true;
  for (const auto& [key, values] : samples) {
    if (key.what != "round")
      continue;
    if (first)
      std::printf("\nRound trips of %zu bytes, median of medians\n", key.bytes);
    first = false;
    std::printf("%-16s %7.1f us\n", key.peer.c_str(), median(values) * 1e6);
  }
  const auto line = [&](const char* a, const char* b, const char* aim) {
    if (find(a) != nullptr && find(b) != nullptr)
      std::printf("%-32s %s%s\n", (std::string(a) + "/" + b).c_str(),
                  text(ratio(*find(a), *find(b))).c_str(), aim);
  };
  line("asio", "raw", "");
  line("cleave-callback", "asio", "  goal 1.2 at most");
  line("cleave", "grpc", "  goal 0.5 at most");
  line("cleave-inline", "grpc", "  goal 0.5 at most");
  first = true;
  for (const auto& [key, values] : samples) {
    if (!key.what.starts_with("wait"))
      continue;
    if (first)
      std::printf("\nA call of %zu bytes while a tensor of 4 MiB is under way\n", key.bytes);
    first = false;
    const Interval i = median_interval(values);
    std::printf("%-8s %s  %.2f ms [%.2f, %.2f]\n", key.peer.c_str(), key.what.c_str() + 5,
                i.median * 1e3, i.low * 1e3, i.high * 1e3);
  }
}

const char* unit(const std::string& what) {
  return what == "goodput" ? "bytes/s" : what.ends_with("cpu") ? "s/byte" : "s";
}

}  // namespace

void print(const Samples& samples, const Options& options,
           const std::vector<std::string>& missing) {
  for (const std::string& peer : missing)
    std::printf("%s: not installed when this was built (scripts/deps.sh), so left out\n",
                peer.c_str());
  std::printf("%zu alternations\n", options.alternations);
  print_times(samples);
  print_goodput(samples);
  print_processor_time(samples);
  if (options.rate > 0)
    print_link_share(samples, options.rate);
  print_tls(samples);
}

void write_csv(const Samples& samples, const std::string& file) {
  std::ofstream out(file);
  out.precision(9);
  out << "what,peer,bytes,in_flight,call_bytes,alternation,value,unit\n";
  for (const auto& [key, values] : samples)
    for (std::size_t i = 0; i < values.size(); ++i)
      out << key.what << ',' << key.peer << ',' << key.bytes << ',' << key.in_flight << ','
          << key.call << ',' << i << ',' << values[i] << ',' << unit(key.what) << '\n';
  out.close();
  if (!out)
    throw std::runtime_error(file + ": cannot be written");
}

}  // namespace bench_link
