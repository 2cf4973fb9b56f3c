// cleave link: a slow link between edge and cloud, emulated in user space.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/interrupt.hpp"
#include "cli/parse.hpp"

#include <cleave/core/file.hpp>
#include <cleave/transport/relay.hpp>

#include <cstdio>

namespace cleave::cli {
namespace {

using core::fail;

struct Options {
  std::string listen = "127.0.0.1:7071", to, rate = "20mbit", rate_down, delay = "5ms",
              jitter = "0ms", port_file;
  std::uint64_t seed = 1;
};

core::Result<void> relay(const Options& options) {
  const auto listen = parse_address(options.listen);
  const auto to = parse_address(options.to);
  const auto up = parse_rate(options.rate);
  const auto down = parse_rate(options.rate_down.empty() ? options.rate : options.rate_down);
  const auto delay = parse_duration(options.delay);
  const auto jitter = parse_duration(options.jitter);
  if (!listen)
    return fail(listen);
  if (!to)
    return fail(to);
  if (!up)
    return fail(up);
  if (!down)
    return fail(down);
  if (!delay)
    return fail(delay);
  if (!jitter)
    return fail(jitter);
  transport::RelayOptions relay_options;
  relay_options.listen_address = listen->host;
  relay_options.listen_port = listen->port;
  relay_options.target_host = to->host;
  relay_options.target_port = to->port;
  relay_options.up = *up;
  relay_options.down = *down;
  relay_options.delay = *delay;
  relay_options.jitter = *jitter;
  relay_options.seed = options.seed;
  const Interrupt interrupt;
  const auto relay = transport::Relay::start(relay_options);
  if (!relay)
    return fail(relay);
  if (!options.port_file.empty())
    if (auto written = core::write_file(options.port_file, std::to_string((*relay)->port()) + "\n");
        !written)
      return written;
  std::printf("%s:%u -> %s:%u, %s up, %s down, %s each way, jitter %s; Ctrl-C ends it\n",
              listen->host.c_str(), (*relay)->port(), to->host.c_str(), to->port,
              options.rate.c_str(),
              (options.rate_down.empty() ? options.rate : options.rate_down).c_str(),
              options.delay.c_str(), options.jitter.c_str());
  std::fflush(stdout);
  interrupt.wait();
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
  command->add_option("--rate", options->rate, "Bandwidth from edge to cloud: 20mbit, 2.5MB")
      ->capture_default_str();
  command->add_option("--rate-down", options->rate_down, "Bandwidth back (default: as --rate)");
  command->add_option("--delay", options->delay, "One way; a round trip takes two")
      ->capture_default_str();
  command->add_option("--jitter", options->jitter, "Random additional delay, up to this")
      ->capture_default_str();
  command->add_option("--seed", options->seed, "Of the jitter")->capture_default_str();
  command->footer(
      "Example:\n  cleave link --listen 127.0.0.1:7071 --to 127.0.0.1:7070 "
      "--rate 20mbit --delay 5ms");
  command->callback([options, &result] {
    if (const auto done = relay(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
