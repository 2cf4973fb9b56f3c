// cleave serve: the cloud's side.
#include "cli/commands.hpp"
#include "cli/common.hpp"
#include "cli/host_options.hpp"
#include "cli/interrupt.hpp"
#include "cli/model_options.hpp"
#include "cli/parse.hpp"
#include "cli/security_options.hpp"

#include <cleave/core/file.hpp>
#include <cleave/device/journal.hpp>
#include <cleave/profiler/service.hpp>
#include <cleave/runtime/cloud_server.hpp>

#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cstdio>
#include <thread>

namespace cleave::cli {
namespace {

using core::fail;

struct Options {
  ModelOptions model;  ///< all but the path
  std::vector<std::string> models;
  std::string folder;
  ServerSecurityOptions security;
  device::HostOptions host;
  std::string listen = "127.0.0.1:7070", port_file;
  int workers = 1;
};

// What the operator put into the folder of models, in the order of the names.
core::Result<std::vector<std::string>> models_in(const std::string& folder) {
  struct stat status {};
  if (::stat(folder.c_str(), &status) != 0 || !S_ISDIR(status.st_mode))
    return fail(core::Errc::not_found, "no such folder", folder);
  if ((status.st_mode & (S_IWGRP | S_IWOTH)) != 0)
    return fail(core::Errc::permission_denied,
                "others than its owner may put models into the folder", folder, "chmod go-w it");
  std::vector<std::string> paths;
  std::error_code error;
  for (std::filesystem::directory_iterator entry(folder, error), end; !error && entry != end;
       entry.increment(error))
    if (const auto extension = entry->path().extension();
        extension == ".pt" || extension == ".onnx")
      paths.push_back(entry->path().string());
  if (error)
    return fail(core::Errc::io, error.message(), folder);
  std::sort(paths.begin(), paths.end());
  return paths;
}

core::Result<void> serve(const Options& options) {
  const Interrupt interrupt;
  const auto log = stderr_log(core::Severity::warning);
  const auto address = parse_address(options.listen);
  if (!address)
    return fail(address);
  auto models = std::make_shared<exec::ModelStore>();
  std::vector<std::shared_ptr<const model::Model>> loaded;
  std::vector<std::string> paths = options.models;
  if (!options.folder.empty()) {
    const auto found = models_in(options.folder);
    if (!found)
      return fail(found);
    paths.insert(paths.end(), found->begin(), found->end());
  }
  if (paths.empty())
    return fail(core::Errc::invalid_argument, "no model to serve", options.folder,
                "give --model or --models");
  for (const std::string& path : paths) {
    ModelOptions named = options.model;
    named.path = path;
    auto model = load_model(named);
    if (!model)
      return fail(model);
    models->put(*model);
    loaded.push_back(std::move(*model));
  }
  // All models run on libtorch, whose thread count belongs to the calling thread: any of them sets
  // it for all.
  auto host = open_host(options.host, loaded.front());
  if (!host)
    return fail(host);

  profiler::HostOptions measured;
  char name[256] = "";
  measured.name = ::gethostname(name, sizeof name - 1) == 0 ? name : "cloud";
  measured.board = (*host)->board.name;
  measured.source = (*host)->board.citation();
  measured.power = (*host)->power;
  // Between requests the cloud waits, too, and its caches cool: a tail that starts then takes
  // half as long again as one that follows another.
  measured.idle_gap = core::milliseconds(15);
  profiler::MeasureService measure(*models, *(*host)->knobs, std::move(measured));

  runtime::CloudServerOptions server_options;
  server_options.address = address->host;
  server_options.port = address->port;
  server_options.workers = options.workers;
  server_options.knobs = (*host)->knobs;
  server_options.log = log.get();
  server_options.security = server_security(options.security);
  auto server = runtime::CloudServer::start(
      server_options, models,
      {{std::string(profiler::profile_service), std::string(profiler::measure_method),
        [&](std::span<const std::byte> message) { return measure.measure(message); }}});
  if (!server)
    return fail(server);
  if (!options.port_file.empty())
    if (auto written =
            core::write_file(options.port_file, std::to_string((*server)->port()) + "\n");
        !written)
      return written;
  for (const auto& model : loaded)
    std::printf("serving %s %s\n", model->name().c_str(), to_string(model->fingerprint()).c_str());
  std::printf("listening on %s port %u; Ctrl-C ends it\n", address->host.c_str(),
              (*server)->port());
  std::fflush(stdout);
  interrupt.wait();
  (*server)->stop();
  return {};
}

}  // namespace

void add_serve(CLI::App& app, int& result) {
  auto options = std::make_shared<Options>();
  CLI::App* command = app.add_subcommand("serve", summary_of("serve"));
  command->add_option("--model", options->models,
                      "A TorchScript or ONNX file; may be given several times");
  command->add_option("--models", options->folder,
                      "Serve every model of this folder, which nobody but its owner may write to");
  add_loading_options(*command, options->model);
  command
      ->add_option("--input", options->model.inputs,
                   "Shape of an input where the file does not tell it, as 1x3x224x224")
      ->allow_extra_args(false);
  command
      ->add_option("--op-library", options->model.op_libraries,
                   "A shared library that registers operators which the models use; it is code")
      ->allow_extra_args(false);
  command->add_option("--listen", options->listen, "Address and port; port 0 takes a free one")
      ->capture_default_str();
  command->add_option("--port-file", options->port_file, "Write the port there once it listens");
  command->add_option("--workers", options->workers, "Requests run at a time")
      ->check(CLI::Range(1, 1024))
      ->capture_default_str();
  add_server_security(*command, options->security);
  add_host_options(*command, options->host, core::cloud_host);
  command->footer(
      "Only these models are run: nothing that comes over the network is ever loaded. A file that\n"
      "is not on the trusted list is opened in a child process first (--untrusted refuse: not at\n"
      "all).\n\n"
      "Beyond loopback TLS is needed (or --insecure said). Anybody who can connect may use the "
      "models\n"
      "unless clients need a certificate (--client-ca) or a token (--tokens).\n\n"
      "Example:\n"
      "  cleave serve --model m.pt --listen 10.0.0.2:7070 --threads 1,2 \\\n"
      "      --tls-cert certs/server.pem --tls-key certs/server.key --tokens tokens");
  command->callback([options, &result] {
    if (const auto done = serve(*options); !done)
      result = print_error(done.error());
  });
}

}  // namespace cleave::cli
