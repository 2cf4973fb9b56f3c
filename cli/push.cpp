// cleave push: brings a model file to a cloud that takes some.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/interrupt.hpp"
#include "cli/parse.hpp"
#include "cli/progress.hpp"
#include "cli/security_options.hpp"

#include <cleave/exec/push_model.hpp>
#include <cleave/model/trust.hpp>
#include <cleave/runtime/cloud_link.hpp>

#include <cstdio>

namespace cleave::cli {
namespace {

using core::fail;
using core::Seconds;

struct Options {
  std::string model, cloud;
  ClientSecurityOptions security;
  int attempts = 10;
  bool quiet = false;
};

core::Result<void> push(const Options& options) {
  const Interrupt interrupt;
  const auto address = parse_address(options.cloud);
  if (!address)
    return fail(address);
  auto security = client_security(options.security);
  if (!security)
    return fail(security);
  const auto digest = model::file_fingerprint(options.model);
  if (!digest)
    return fail(digest);
  runtime::CloudLinkOptions link;
  link.host = address->host;
  link.port = address->port;
  link.security = std::move(*security);
  runtime::CloudLink cloud(link);
  Progress progress(options.quiet);
  exec::PushOptions pushing;
  pushing.progress = [&](std::uint64_t done, std::uint64_t of) {
    progress.update(double(done) / double(of), done == of ? "checked by the cloud" : "sent");
  };
  for (int attempt = 1;; ++attempt) {
    if (auto connected = cloud.wait_connected(Seconds(attempt == 1 ? 3 : 30)); !connected)
      return connected;
    const auto model = exec::push_model(cloud, options.model, *digest, pushing);
    if (model) {
      progress.finish();
      std::printf("%s is served as %s\n", options.model.c_str(), to_string(*model).c_str());
      return {};
    }
    if (interrupt.requested())
      return fail(core::Errc::cancelled, "interrupted");
    const bool lost = model.error().code == core::Errc::unavailable ||
                      model.error().code == core::Errc::timed_out;
    if (!lost || attempt == options.attempts)
      return fail(model);
    print_error(model.error());  // and goes on where it broke off
  }
}

}  // namespace

void add_push(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("push", summary_of("push"));
  command->add_option("model", options->model, "A TorchScript or ONNX file, in one file")
      ->required();
  command->add_option("--cloud", options->cloud, "host:port of `cleave serve --allow-push`")
      ->required();
  add_client_security(*command, options->security);
  command->add_option("--attempts", options->attempts, "How often to go on after a broken link")
      ->check(CLI::Range(1, 1000))
      ->capture_default_str();
  command->add_flag("--quiet", options->quiet, "No progress");
  command->footer(
      "The cloud checks the file's SHA-256 and opens it as its operator's policy for files of\n"
      "strangers says. Only what is missing there is sent.\n\n"
      "Example:\n  cleave push mobilenet.pt --cloud cloud:7070");
  command->callback([options, &result] {
    if (const auto done = push(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
