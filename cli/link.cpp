// cleave link: a slow and faulty link between edge and cloud, emulated in user space.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/interrupt.hpp"
#include "cli/parse.hpp"

#include <cleave/core/file.hpp>
#include <cleave/transport/relay.hpp>

#include <charconv>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <set>
#include <vector>

namespace cleave::cli {
namespace {

namespace fs = std::filesystem;
using core::Errc;
using core::fail;
using core::Result;
using core::Seconds;

struct Options {
  std::string listen = "127.0.0.1:7071", to, rate = "20mbit", rate_down, delay = "5ms",
              jitter = "0ms", trace, port_file;
  bool repeat = false;
  std::vector<std::string> stall, outage;
  std::string stalls, outages, half_open, corrupt, corrupt_down, cut;
  std::uint64_t seed = 1;
};

// Reads options one after another and keeps the first error.
class Reader {
 public:
  template <class T, class Parse>
  void read(const std::string& text, T& into, Parse&& parse) {
    if (error_)
      return;
    if (auto value = parse(text))
      into = std::move(*value);
    else
      error_ = value.error();
  }
  [[nodiscard]] Result<void> done() const {
    return error_ ? tl::unexpected<core::Error>(*error_) : Result<void>{};
  }

 private:
  std::optional<core::Error> error_;
};

Result<double> parse_number(std::string_view text, const std::string& what) {
  double number = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), number);
  if (error != std::errc() || end != text.data() + text.size() || !(number >= 0))
    return fail(Errc::invalid_argument, "not " + what, std::string(text));
  return number;
}

struct Halves {
  std::string_view first, second;
};

// "10s:2s"
Result<Halves> parse_halves(std::string_view text, const char* hint) {
  const std::size_t colon = text.find(':');
  if (colon == std::string_view::npos)
    return fail(Errc::invalid_argument, "there is no ':' in it", std::string(text), hint);
  return Halves{text.substr(0, colon), text.substr(colon + 1)};
}

Result<std::vector<transport::ScheduledEvent>> parse_schedule(
    const std::vector<std::string>& texts) {
  std::vector<transport::ScheduledEvent> events;
  for (const std::string& text : texts) {
    const auto halves = parse_halves(text, "write when it begins and how long it lasts: 10s:2s");
    if (!halves)
      return fail(halves);
    const auto at = parse_duration(halves->first), lasts = parse_duration(halves->second);
    if (!at || !lasts)
      return fail(at ? lasts : at);
    events.push_back({*at, *lasts});
  }
  return events;
}

Result<transport::RandomEvents> parse_events(std::string_view text) {
  if (text.empty())
    return transport::RandomEvents{};
  const auto halves =
      parse_halves(text, "write how many a second and how long on average: 0.5:200ms");
  if (!halves)
    return fail(halves);
  const auto rate = parse_number(halves->first, "a number of events a second");
  if (!rate)
    return fail(rate);
  const auto mean = parse_duration(halves->second);
  if (!mean)
    return fail(mean);
  return transport::RandomEvents{*rate, *mean};
}

// "0.1" or "0.1:2s"
Result<void> read_half_open(std::string_view text, transport::LinkFaults& faults) {
  if (text.empty())
    return {};
  const std::size_t colon = std::min(text.find(':'), text.size());
  const auto probability = parse_number(text.substr(0, colon), "a probability");
  if (!probability)
    return fail(probability);
  faults.half_open = *probability;
  if (colon < text.size()) {
    const auto after = parse_duration(text.substr(colon + 1));
    if (!after)
      return fail(after);
    faults.half_open_after = *after;
  }
  return {};
}

// Flipped bits per megabyte as a probability per byte.
Result<double> parse_corruption(std::string_view text) {
  if (text.empty())
    return 0.0;
  const auto per_megabyte = parse_number(text, "a number of flipped bits per megabyte");
  if (!per_megabyte)
    return fail(per_megabyte);
  return *per_megabyte * 1e-6;
}

std::vector<fs::path> trace_folders() {
  std::vector<fs::path> folders;
  if (const char* data = std::getenv("CLEAVE_DATA_DIR"); data != nullptr && *data != '\0')
    folders.emplace_back(fs::path(data) / "traces");
  folders.emplace_back(CLEAVE_TRACES_SOURCE);
  return folders;
}

// A path, or the name of a trace that comes with cleave.
Result<transport::LinkTrace> find_trace(const std::string& name) {
  if (name.find('/') != std::string::npos || name.ends_with(".csv"))
    return transport::LinkTrace::read(name);
  std::set<std::string> known;
  for (const fs::path& folder : trace_folders()) {
    std::error_code error;
    if (const fs::path file = folder / (name + ".csv"); fs::exists(file, error))
      return transport::LinkTrace::read(file);
    for (fs::directory_iterator it(folder, error), end; !error && it != end; it.increment(error))
      if (it->path().extension() == ".csv")
        known.insert(it->path().stem().string());
  }
  std::string all;
  for (const std::string& each : known) all += (all.empty() ? "" : ", ") + each;
  return fail(Errc::not_found, "no trace of that name", name,
              all.empty() ? "give a path, or set CLEAVE_DATA_DIR to the folder that holds traces/"
                          : "there are " + all + "; a path ends in .csv or has a / in it");
}

Result<transport::RelayOptions> relay_options(const Options& options) {
  transport::RelayOptions relay;
  Address listen, to;
  Reader reader;
  reader.read(options.listen, listen, parse_address);
  reader.read(options.to, to, parse_address);
  const auto rate = [](const std::string& text) { return parse_rate(text); };
  const auto duration = [](const std::string& text) { return parse_duration(text); };
  reader.read(options.rate, relay.up, rate);
  reader.read(options.rate_down.empty() ? options.rate : options.rate_down, relay.down, rate);
  reader.read(options.delay, relay.delay, duration);
  reader.read(options.jitter, relay.jitter, duration);
  if (!options.trace.empty())
    reader.read(options.trace, relay.trace, find_trace);
  transport::LinkFaults& faults = relay.faults;
  reader.read(options.stalls, faults.stalls, parse_events);
  reader.read(options.outages, faults.outages, parse_events);
  reader.read(options.corrupt, faults.corruption_up, parse_corruption);
  reader.read(options.corrupt_down.empty() ? options.corrupt : options.corrupt_down,
              faults.corruption_down, parse_corruption);
  if (!options.cut.empty())
    reader.read(options.cut, faults.cut_after, core::parse_bytes);
  if (auto done = reader.done(); !done)
    return fail(done);
  if (auto done = read_half_open(options.half_open, faults); !done)
    return fail(done);
  auto stalls = parse_schedule(options.stall), outages = parse_schedule(options.outage);
  if (!stalls || !outages)
    return fail(stalls ? outages : stalls);
  faults.scheduled_stalls = std::move(*stalls);
  faults.scheduled_outages = std::move(*outages);
  relay.listen_address = listen.host;
  relay.listen_port = listen.port;
  relay.target_host = to.host;
  relay.target_port = to.port;
  relay.repeat_trace = options.repeat;
  relay.seed = options.seed;
  return relay;
}

unsigned long long number(std::uint64_t value) {
  return value;
}

void print_counts(const transport::RelayCounts& counts) {
  std::printf("%llu connections (%llu refused, %llu cut), %llu stalls, %llu outages\n",
              number(counts.connections), number(counts.refused), number(counts.cut),
              number(counts.stalls), number(counts.outages));
  std::printf("up: %llu bytes, %llu bits flipped, %llu bytes vanished\n", number(counts.bytes_up),
              number(counts.flipped_up), number(counts.vanished_up));
  std::printf("down: %llu bytes, %llu bits flipped, %llu bytes vanished\n",
              number(counts.bytes_down), number(counts.flipped_down), number(counts.vanished_down));
}

Result<void> relay(const Options& options) {
  const auto wanted = relay_options(options);
  if (!wanted)
    return fail(wanted);
  const Interrupt interrupt;
  const auto relay = transport::Relay::start(*wanted);
  if (!relay)
    return fail(relay);
  if (!options.port_file.empty())
    if (auto written = core::write_file(options.port_file, std::to_string((*relay)->port()) + "\n");
        !written)
      return written;
  const std::string ends = wanted->listen_address + ":" + std::to_string((*relay)->port()) +
                           " -> " + wanted->target_host + ":" + std::to_string(wanted->target_port);
  if (wanted->trace)
    std::printf("%s, as in %s (%zu rows, %g s%s); Ctrl-C ends it\n", ends.c_str(),
                options.trace.c_str(), wanted->trace->rows().size(),
                wanted->trace->duration().count(), options.repeat ? ", repeated" : "");
  else
    std::printf("%s, %s up, %s down, %s each way, jitter %s; Ctrl-C ends it\n", ends.c_str(),
                options.rate.c_str(),
                (options.rate_down.empty() ? options.rate : options.rate_down).c_str(),
                options.delay.c_str(), options.jitter.c_str());
  std::fflush(stdout);
  interrupt.wait();
  print_counts((*relay)->counts());
  return {};
}

}  // namespace

void add_link(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("link", summary_of("link"));
  command->add_option("--to", options->to, "host:port of `cleave serve`")->required();
  command->add_option("--listen", options->listen, "Address and port; port 0 takes a free one")
      ->capture_default_str();
  command->add_option("--port-file", options->port_file, "Write the port there once it listens");
  const std::string link = "Link";
  std::vector<CLI::Option*> fixed;
  fixed.push_back(
      command->add_option("--rate", options->rate, "Bandwidth from edge to cloud: 20mbit, 2.5MB")
          ->capture_default_str());
  fixed.push_back(command->add_option("--rate-down", options->rate_down,
                                      "Bandwidth back (default: as --rate)"));
  fixed.push_back(command->add_option("--delay", options->delay, "One way; a round trip takes two")
                      ->capture_default_str());
  fixed.push_back(
      command->add_option("--jitter", options->jitter, "Random additional delay, up to this")
          ->capture_default_str());
  CLI::Option* trace = command->add_option(
      "--trace", options->trace,
      "Rates and delays over time instead: a CSV file (docs/traces.md), or one that comes with "
      "cleave: 3g, 4g, 5g, wifi");
  for (CLI::Option* each : fixed) trace->excludes(each->group(link));
  trace->group(link);
  command->add_flag("--repeat", options->repeat, "Begin the trace again when it has ended")
      ->needs(trace)
      ->group(link);
  const std::string faults = "Faults";
  command
      ->add_option("--stall", options->stall,
                   "At 10 s nothing moves for 2 s: 10s:2s. May be given several times")
      ->group(faults);
  command
      ->add_option("--stalls", options->stalls,
                   "The same at random: so many a second, this long on average: 0.5:200ms")
      ->group(faults);
  command
      ->add_option("--outage", options->outage,
                   "As --stall, but connections are reset, and new ones at once")
      ->group(faults);
  command->add_option("--outages", options->outages, "As --stalls, likewise")->group(faults);
  command
      ->add_option("--half-open", options->half_open,
                   "The probability that a connection loses one direction for good, and when: "
                   "0.1:2s, on average 2 s (default 1 s) after it was opened")
      ->group(faults);
  command->add_option("--corrupt", options->corrupt, "Bits flipped per megabyte (10^6 bytes): 0.5")
      ->group(faults);
  command
      ->add_option("--corrupt-down", options->corrupt_down,
                   "The same from cloud to edge (default: as --corrupt)")
      ->group(faults);
  command
      ->add_option("--cut", options->cut,
                   "A connection is reset after so many bytes on average: 5MB")
      ->group(faults);
  command->add_option("--seed", options->seed, "Of the jitter and the faults")
      ->capture_default_str()
      ->group(faults);
  command->footer(
      "Examples:\n"
      "  cleave link --listen 127.0.0.1:7071 --to 127.0.0.1:7070 --rate 20mbit --delay 5ms\n"
      "  cleave link --to 127.0.0.1:7070 --trace 4g --repeat --outage 30s:5s --corrupt 0.1");
  command->callback([options, &result] {
    if (const auto done = relay(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
