// cleave workload: files of requests for cleave replay.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/parse.hpp"

#include <cleave/core/file.hpp>
#include <cleave/table/requests.hpp>

#include <cstdio>

namespace cleave::cli {
namespace {

struct Options {
  std::string pattern, out, shortest = "100ms", longest = "5s", period = "3600s";
  table::RequestOptions requests;
};

core::Result<void> workload(const Options& given) {
  table::RequestOptions options = given.requests;
  const auto pattern = table::parse_request_pattern(given.pattern);
  if (!pattern)
    return core::fail(pattern);
  options.pattern = *pattern;
  for (const auto& [text, value] :
       {std::pair(&given.shortest, &options.shortest), std::pair(&given.longest, &options.longest),
        std::pair(&given.period, &options.period)}) {
    const auto parsed = parse_duration(*text);
    if (!parsed)
      return core::fail(parsed);
    *value = *parsed;
  }
  const auto requests = table::make_requests(options);
  if (!requests)
    return core::fail(requests);
  if (auto written = core::write_file(given.out, table::to_csv(*requests)); !written)
    return written;
  std::printf("wrote %zu requests to %s\n", requests->size(), given.out.c_str());
  return {};
}

}  // namespace

void add_workload(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("workload", summary_of("workload"));
  command
      ->add_option("pattern", options->pattern,
                   "weibull or uniform (deadlines), bursts or diurnal (arrivals)")
      ->required();
  command->add_option("-o,--output", options->out, "The CSV to write")->required();
  command->add_option("--requests", options->requests.count, "How many")->capture_default_str();
  command->add_option("--seed", options->requests.seed, "Equal seeds give equal files")
      ->capture_default_str();
  command->add_option("--shortest", options->shortest, "The shortest deadline")
      ->capture_default_str();
  command->add_option("--longest", options->longest, "The longest deadline")->capture_default_str();
  command
      ->add_option("--shape", options->requests.shape,
                   "Of the Weibull distribution of deadlines: small, most are short")
      ->capture_default_str();
  command->add_option("--rate", options->requests.rate, "Requests a second, on average")
      ->capture_default_str();
  command->add_option("--burst", options->requests.burst, "Requests of one burst")
      ->capture_default_str();
  command->add_option("--period", options->period, "Of the day of diurnal requests")
      ->capture_default_str();
  command->footer(
      "Example:\n  cleave workload weibull --requests 1000 --seed 1 --shortest 90ms --longest 5s "
      "-o req.csv");
  command->callback([options, &result] {
    if (const auto done = workload(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
